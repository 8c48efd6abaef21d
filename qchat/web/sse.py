"""Event streams: batches of frames from the feed, written through aiohttp-sse's response."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from qchat.context import context
from qchat.errors import NO_HEADERS, ValidationError
from qchat.model.event import Position
from qchat.model.frame import PING
from qchat.service.feed import Push
from qchat.settings import Settings
from qchat.web.access import grant
from qchat.web.parameters import AFTER_EVENT, LAST_EVENT_ID

ASKED = (LAST_EVENT_ID, AFTER_EVENT)
"""The ways to say where a reader stands; the first goes before."""
SMALL = 32 * 1024
"""Bytes that a transport takes without making its writer wait."""
SEND_BUFFER_BYTES = 256 * 1024
"""What the kernel may hold for one reader: a stalled one must not cost megabytes."""


async def stream(
    request: web.Request,
    settings: Settings,
    batches: Callable[[Push], AsyncGenerator[bytes]],
    *,
    head: bytes = b"",
    named_pings: bool = False,
    headers: Mapping[str, str] = NO_HEADERS,
) -> web.StreamResponse:
    """Send ``head`` and then ``batches`` until they end or the reader leaves.

    ``batches`` makes them, given a function that takes one at once when nothing has to be waited for.

    Heartbeats are comments, or, with ``named_pings``, events that scripts can see. A reader that
    takes nothing for ``stall_timeout`` seconds is cut; it can come back and continue. The stream of one
    whose token is revoked ends.
    """
    response = EventSourceResponse(
        sep="\n",
        allow_all_methods=True,  # the drop-in API streams the answer to a POST
        ping_interval=settings.heartbeat,
        send_timeout=settings.stall_timeout,
        headers={"X-Content-Type-Options": "nosniff", **headers},
    )
    response.headers["Cache-Control"] = "no-store, no-transform"
    _limit_send_buffer(request)
    holds = partial(context(request).access.holds, grant(request))

    def push(batch: bytes) -> bool:
        return holds() and _push(response, request, batch)

    with suppress(ConnectionResetError):  # the reader has left
        await response.prepare(request)
        async with aclosing(batches(push)) as following, response:
            if head:
                await response.write(head)
            async for batch in following:
                if not holds():
                    break  # its token was revoked or is over
                if batch and (batch is not PING or named_pings):
                    await _write(response, request, batch, settings.stall_timeout)
                # A long replay lets others run: writing waits for nothing while the reader is fast.
                await asyncio.sleep(0)
    return response


async def _write(
    response: EventSourceResponse, request: web.Request, batch: bytes, stall_timeout: float
) -> None:
    if _push(response, request, batch):
        return
    try:
        async with asyncio.timeout(stall_timeout):
            await response.write(batch)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader has stalled") from None


def _push(response: EventSourceResponse, request: web.Request, batch: bytes) -> bool:
    """Write ``batch`` if that needs no waiting: the kernel has taken all that there was."""
    transport = request.transport
    if transport is None or len(batch) > SMALL or transport.get_write_buffer_size():
        return False
    writing = response.write(batch)
    try:
        writing.send(None)
    except StopIteration:
        return True
    except ConnectionResetError:  # it is for the reader's own task to find out, and to end
        return False
    writing.close()  # it only waits for what the transport has already
    return True


def _limit_send_buffer(request: web.Request) -> None:
    sock = request.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def asked_position(request: web.Request) -> Position | None:
    """Where the client stands: the header ``Last-Event-ID``, else the query's ``after``.

    :raises ValidationError: for one that has not the form of an id.
    """
    found = [_position(told.name, text) for told in ASKED if (text := told.text(request))]
    return found[0] if found else None


def _position(name: str, text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise ValidationError(
            f"{name} {text[:100]!r}: it takes an id of this stream, such as 1-0 or 3-1042"
        ) from None
