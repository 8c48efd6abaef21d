"""Sending what is not trusted: as an attachment that no browser runs anything of."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog
from aiohttp import hdrs, web

from qchat.adapters.beneath import WorkspaceError
from qchat.service.thread import in_thread
from qchat.web.conditional import check_unchanged, etag_of, is_known, wanted_range

log = structlog.get_logger()
PIECE_BYTES = 64 * 1024
HOSTILE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "private, no-cache",
}


async def send_file(
    request: web.Request, fd: int, headers: Mapping[str, str], stall_timeout: float
) -> web.StreamResponse:
    """Send a regular file that is open, with conditions and ranges, and close it.

    :raises PreconditionFailed:
    :raises RangeNotSatisfiable:
    """
    try:
        status = os.fstat(fd)
        check_unchanged(request, status)
        response = web.StreamResponse(headers={**HOSTILE, **headers})
        response.etag = etag_of(status)
        response.last_modified = int(status.st_mtime)  # a fraction would be rounded up, into the future
        if is_known(request, status):
            response.set_status(304)
            del response.headers[hdrs.CONTENT_TYPE]
            await response.prepare(request)
            return response
        start, length = _announce(request, response, status)
        return await send_pieces(request, response, _read(fd, start, length), stall_timeout)
    finally:
        os.close(fd)


def _announce(request: web.Request, response: web.StreamResponse, status: os.stat_result) -> tuple[int, int]:
    """Set status and headers; the first byte to send, and how many."""
    wanted = wanted_range(request, status)
    start, length = wanted or (0, status.st_size)
    if wanted:
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{start + length - 1}/{status.st_size}"
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    response.content_length = length
    return start, length


async def _read(fd: int, start: int, length: int) -> AsyncGenerator[bytes]:
    while length:
        piece = await in_thread(os.pread, fd, min(PIECE_BYTES, length), start)
        if not piece:
            raise OSError(f"the file has lost its last {length} bytes meanwhile")
        yield piece
        start, length = start + len(piece), length - len(piece)


async def send_pieces(
    request: web.Request, response: web.StreamResponse, pieces: AsyncGenerator[bytes], stall_timeout: float
) -> web.StreamResponse:
    """Send what comes, no faster than the client takes it.

    What has begun cannot become an error any more: when it cannot go on the connection is cut, and so
    it is for a client that takes nothing for ``stall_timeout`` seconds.
    """
    async with aclosing(pieces):
        try:
            await response.prepare(request)
            async for piece in pieces:
                if request.method == hdrs.METH_HEAD:
                    break
                if piece:
                    async with asyncio.timeout(stall_timeout):
                        await response.write(piece)
            await response.write_eof()
        except (OSError, WorkspaceError) as error:  # ConnectionError and TimeoutError are among them
            log.info("transfer cut", path=request.path, error=str(error))
            if request.transport is not None:
                request.transport.abort()
    return response
