"""The files of a workspace. An agent wrote them: they are sent as attachments, never as pages."""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Literal
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from aiohttp import hdrs, web

from qchat.adapters.workspace import Listing, displayed
from qchat.context import context
from qchat.errors import RangeNotSatisfiable, SessionNotFound
from qchat.model.shape import to_json
from qchat.service.listings import Wanted
from qchat.service.thread import acquired, in_thread
from qchat.web.access import session as session_of
from qchat.web.download import HOSTILE, PIECE_BYTES, send_file, send_pieces
from qchat.web.files import REFUSALS, check_conditions, file_view, named_path, refusals
from qchat.web.operation import BINARY, Media, Operation
from qchat.web.parameters import (
    IF_MATCH,
    IF_NONE_MATCH,
    IF_RANGE,
    RANGE,
    Choice,
    Flag,
    Parameter,
    WholeNumber,
    limit_of,
)
from qchat.web.views import FilePage, directories

MAX_LISTED = 100_000
FILES_A_PIECE = 400
# Shown in place when asked for: types that no browser runs anything in.
PREVIEWS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
LIMIT = limit_of(MAX_LISTED, most=MAX_LISTED)
AFTER = Parameter("after", "only files behind this one: the next of an earlier page")
DEPTH = WholeNumber("depth", "how many directories deep; unlimited without", 0, 1, 10_000)
GLOB = Parameter("glob", "only files whose path matches, such as src/*.py")
PREVIEW = Flag("preview", "text and pictures are to be shown in place, instead of being saved")
FORMAT = Choice("format", "of the archive", ("zip", "tar.gz"))


@Operation(
    answers={200: FilePage, 304: None},
    parameters=(LIMIT, AFTER, DEPTH, GLOB, IF_NONE_MATCH),
    raises=(SessionNotFound,),
)
async def index(request: web.Request) -> web.StreamResponse:
    """The regular files, recursively; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    session = session_of(request)
    wanted = Wanted(
        session_id=session.id,
        limit=LIMIT.read(request),
        after=unquote_to_bytes(AFTER.text(request)),
        depth=DEPTH.read(request) or None,
        glob=GLOB.text(request),
    )
    where = directories(session.id, ctx.settings, str(ctx.state.workspace(session.id)))
    found = await ctx.listings.rendered(wanted, partial(_listing_json, session.id, where))
    headers = {hdrs.ETAG: f'"{found.version}"', hdrs.CACHE_CONTROL: "private, no-cache"}
    if any(tag.value in ("*", found.version) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_type, response.charset = "application/json", "utf-8"
    response.content_length = found.size
    return await send_pieces(request, response, _one_by_one(found.pieces), ctx.settings.stall_timeout)


async def _one_by_one(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """Others run between them, also while the client takes all at once."""
    for piece in pieces:
        for start in range(0, len(piece), PIECE_BYTES):  # names can be long
            yield piece[start : start + PIECE_BYTES]
            await asyncio.sleep(0)


def _listing_json(session_id: str, where: dict[str, str], listing: Listing) -> tuple[bytes, ...]:
    entries = iter(listing)
    blocks: list[bytes] = []
    while views := [to_json(file_view(session_id, entry)) for entry in islice(entries, FILES_A_PIECE)]:
        blocks.append((", " * bool(blocks) + ", ".join(views)).encode())
    page = FilePage(
        session_id=session_id,
        **where,
        files=[],
        file_count=listing.count,
        truncated=listing.truncated,
        next=quote_from_bytes(listing.last.raw) if listing.truncated and listing.last else None,
    )
    before, files, after = to_json(page).encode().partition(b'"files": [')
    return before + files, *blocks, after


@Operation(
    answers={200: Media((BINARY, "text/plain", *PREVIEWS.values())), 206: Media(), 304: None},
    parameters=(PREVIEW, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH),
    raises=(*REFUSALS, RangeNotSatisfiable),
)
async def download(request: web.Request) -> web.StreamResponse:
    """One file, with ranges and conditions; ``preview=1`` shows text and pictures in place."""
    ctx = context(request)
    session, path = session_of(request), named_path(request)
    headers = _kind(request, path)
    with refusals(path):
        fd, _ = await acquired(lambda: ctx.files.open(session.id, path), lambda found: os.close(found[0]))
    return await send_file(request, fd, headers, ctx.settings.stall_timeout)


def _kind(request: web.Request, path: bytes) -> dict[str, str]:
    name = path.rpartition(b"/")[2]
    if PREVIEW.read(request):
        ending = os.path.splitext(name)[1].decode(errors="replace").lower()
        return {
            hdrs.CONTENT_TYPE: PREVIEWS.get(ending, "text/plain; charset=utf-8"),
            hdrs.CONTENT_DISPOSITION: "inline",
        }
    encoded = quote(displayed(name), safe="")
    return {
        hdrs.CONTENT_TYPE: "application/octet-stream",
        hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{encoded}",
    }


@Operation(answers={204: None}, parameters=(IF_MATCH,), raises=REFUSALS)
async def delete(request: web.Request) -> web.Response:
    """Remove one file."""
    session, path = session_of(request), named_path(request)
    await check_conditions(request, session, path)
    with refusals(path):
        await asyncio.to_thread(context(request).files.remove, session.id, path)
    await context(request).sessions.touch(session.id)
    return web.Response(status=204)


@Operation(
    answers={200: Media(("application/zip", "application/gzip"))},
    parameters=(FORMAT,),
    raises=(SessionNotFound,),
)
async def archive(request: web.Request) -> web.StreamResponse:
    """The whole workspace as ``format=zip`` (the default) or ``tar.gz``, made while it is sent."""
    ctx = context(request)
    session = session_of(request)
    kind: Literal["zip", "tar.gz"] = "tar.gz" if FORMAT.read(request) == "tar.gz" else "zip"
    headers = {
        **HOSTILE,
        hdrs.CONTENT_TYPE: "application/zip" if kind == "zip" else "application/gzip",
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{session.id}.{kind}"',
    }
    pieces = _stepwise(ctx.files.archive(session.id, kind))
    return await send_pieces(request, web.StreamResponse(headers=headers), pieces, ctx.settings.stall_timeout)


async def _stepwise(pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Each piece is made in a thread, but no thread waits for the client to take it."""
    with closing(pieces):
        while (piece := await in_thread(next, pieces, None)) is not None:
            yield piece
