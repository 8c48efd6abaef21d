"""The files of a workspace. An agent wrote them: they are sent as attachments, never as pages."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Literal
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from qchat.adapters import beneath
from qchat.adapters.workspace import Entry, Listing, displayed
from qchat.context import context
from qchat.errors import (
    Conflict,
    FileNotFound,
    Forbidden,
    Overloaded,
    PreconditionFailed,
    QuotaExceeded,
    RangeNotSatisfiable,
    SessionNotFound,
    StorageFull,
    ValidationError,
)
from qchat.model.session import Session
from qchat.model.shape import to_json
from qchat.service.listings import Wanted
from qchat.service.thread import acquired, in_thread
from qchat.service.uploads import Batch
from qchat.web.access import principal
from qchat.web.access import session as _session
from qchat.web.conditional import check_absent, check_unchanged, etag_of
from qchat.web.download import HOSTILE, send_file, send_pieces
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
from qchat.web.views import FilePage, FileView, Uploaded, directories
from qchat.web.wire import json_response

PIECE_BYTES = 256 * 1024
MAX_LISTED = 100_000
MAX_PARTS = 100
"""Files in one request; each holds descriptors until all have come."""
MULTIPART_BYTES = 64 * 1024
"""By how much a multipart body may be more than its files, when it is asked whether there is room."""
# Shown in place when asked for: types that no browser runs anything in.
PREVIEWS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}


REFUSALS = (SessionNotFound, FileNotFound, Conflict, PreconditionFailed)
LIMIT = limit_of(MAX_LISTED, most=MAX_LISTED)
AFTER = Parameter("after", "only files behind this one: the next of an earlier page")
DEPTH = WholeNumber("depth", "how many directories deep; unlimited without", 0, 1, 10_000)
GLOB = Parameter("glob", "only files whose path matches, such as src/*.py")
PREVIEW = Flag("preview", "text and pictures are to be shown in place, instead of being saved")
FORMAT = Choice("format", "of the archive", ("zip", "tar.gz"))


def _path(request: web.Request) -> bytes:
    """The bytes of the name, which need not be UTF-8: taken from the request as it came."""
    raw = request.raw_path.partition("?")[0]
    return unquote_to_bytes(raw.partition("/files/")[2])


@contextmanager
def _refusals(path: bytes) -> Iterator[None]:
    """What a workspace refuses, as clients see it."""
    shown = displayed(path)[:300]
    try:
        yield
    except (beneath.Outside, beneath.Unnameable) as error:
        raise ValidationError(f"path {shown}: {error}") from error
    except beneath.NotFound as error:
        raise FileNotFound(f"{shown}: {error}") from error
    except beneath.Exists as error:
        raise PreconditionFailed(f"{shown}: {error}") from error
    except beneath.NotRegular as error:
        raise Conflict(f"{shown}: {error}", zh="不是普通文件", en="not a regular file") from error
    except beneath.Denied as error:
        raise Forbidden(f"{shown}: {error}") from error
    except beneath.Busy as error:
        raise Overloaded(f"{shown}: {error}") from error


def _view(session_id: str, entry: Entry) -> FileView:
    return FileView(
        name=entry.name,
        path=entry.path,
        size=entry.size,
        modified_time=entry.modified_time,
        href=f"/api/v1/sessions/{session_id}/files/{quote_from_bytes(entry.raw)}",
    )


@Operation(
    answers={200: FilePage, 304: None},
    parameters=(LIMIT, AFTER, DEPTH, GLOB, IF_NONE_MATCH),
    raises=(SessionNotFound,),
)
async def index(request: web.Request) -> web.Response:
    """The regular files, recursively; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    session = _session(request)
    wanted = Wanted(
        session_id=session.id,
        limit=LIMIT.read(request),
        after=unquote_to_bytes(AFTER.text(request)),
        depth=DEPTH.read(request) or None,
        glob=GLOB.text(request),
    )
    where = directories(session.id, ctx.settings, str(ctx.state.workspace(session.id)))
    version, body = await ctx.listings.rendered(wanted, lambda found: _listing_json(session.id, where, found))
    headers = {hdrs.ETAG: f'"{version}"', hdrs.CACHE_CONTROL: "private, no-cache"}
    if any(tag.value in ("*", version) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers, content_type="application/json", charset="utf-8")


def _listing_json(session_id: str, where: dict[str, str], listing: Listing) -> bytes:
    more = listing.truncated and listing.entries
    page = FilePage(
        session_id=session_id,
        **where,
        files=[],
        file_count=len(listing.entries),
        truncated=listing.truncated,
        next=quote_from_bytes(listing.entries[-1].raw) if more else None,
    )
    # One file after the other: a hundred thousand at once would keep everybody else waiting.
    files = ", ".join(to_json(_view(session_id, entry)) for entry in listing.entries)
    return to_json(page).replace('"files": []', f'"files": [{files}]', 1).encode()


@Operation(
    answers={200: Media((BINARY, "text/plain", *PREVIEWS.values())), 206: Media(), 304: None},
    parameters=(PREVIEW, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH),
    raises=(*REFUSALS, RangeNotSatisfiable),
)
async def download(request: web.Request) -> web.StreamResponse:
    """One file, with ranges and conditions; ``preview=1`` shows text and pictures in place."""
    ctx = context(request)
    session, path = _session(request), _path(request)
    headers = _kind(request, path)
    with _refusals(path):
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


@Operation(
    answers={201: FileView, 200: FileView},
    body=Media(("*/*",)),
    body_required=False,
    parameters=(IF_MATCH, IF_NONE_MATCH),
    raises=(*REFUSALS, QuotaExceeded, StorageFull),
)
async def put(request: web.Request) -> web.Response:
    """The body becomes the file, whole or not at all. 201 for a new one, 200 for one that is replaced."""
    ctx = context(request)
    session, path = _session(request), _path(request)
    await _check_conditions(request, session, path)
    only_new = request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*"
    pieces = request.content.iter_chunked(PIECE_BYTES)
    with _refusals(path):
        async with ctx.uploads.begin(session.id, request.content_length or 0) as batch:
            await batch.stage(path, pieces, replace=not only_new)
            async with batch.lock:  # the body took its time: look again, and let nobody come between
                _still(request)
                existing = await _check_conditions(request, session, path)
                status = await batch.commit(0)
    await ctx.sessions.touch(session.id)
    entry = Entry(path, status.st_size, status.st_mtime)
    return json_response(
        _view(session.id, entry),
        status=200 if existing else 201,
        headers={hdrs.ETAG: f'"{etag_of(status)}"'},
    )


def _still(request: web.Request) -> None:
    """:raises SessionNotFound: when the session was deleted while the body came."""
    context(request).sessions.get(_session(request).id, principal(request))


async def _check_conditions(request: web.Request, session: Session, path: bytes) -> bool:
    """Whether there is a file already.

    :raises PreconditionFailed: when it is not the one that the client means.
    """
    with _refusals(path):
        status = await asyncio.to_thread(context(request).files.status, session.id, path)
    check_unchanged(request, status)
    check_absent(request, status)
    return status is not None


@Operation(
    answers={201: Uploaded},
    body=Media(("multipart/form-data",)),
    raises=(*REFUSALS, QuotaExceeded, StorageFull),
)
async def post(request: web.Request) -> web.Response:
    """Several files as multipart/form-data; the file names are paths in the workspace.

    They get their names when the whole body has been read: what is refused changes nothing.
    """
    ctx = context(request)
    session = _session(request)
    if not request.content_type.startswith("multipart/"):
        raise ValidationError(f"Content-Type {request.content_type}: it takes multipart/form-data")
    announced = max(0, (request.content_length or 0) - MULTIPART_BYTES)
    found = []
    async with ctx.uploads.begin(session.id, announced) as batch:
        paths = await _stage_all(request, batch)
        async with batch.lock:
            _still(request)
            for number, path in enumerate(paths):
                with _refusals(path):
                    status = await batch.commit(number)
                found.append(_view(session.id, Entry(path, status.st_size, status.st_mtime)))
    await ctx.sessions.touch(session.id)
    return json_response(Uploaded(files=found), status=201)


async def _stage_all(request: web.Request, batch: Batch) -> list[bytes]:
    paths: list[bytes] = []
    try:
        reader = await request.multipart()
        while (part := await _next(reader)) is not None:
            if not isinstance(part, BodyPartReader) or not part.filename:
                raise ValidationError("every part must be a file with a filename")
            if len(paths) == MAX_PARTS:
                raise ValidationError(f"too many files: a request takes up to {MAX_PARTS}")
            paths.append(os.fsencode(part.filename))
            with _refusals(paths[-1]):
                await batch.stage(paths[-1], _pieces(part), replace=True)
    except (ValueError, AssertionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise ValidationError(f"the body is not valid multipart/form-data: {error}") from error
    if not paths:
        raise ValidationError("the body has no file")
    return paths


async def _next(reader: MultipartReader) -> MultipartReader | BodyPartReader | None:
    try:
        return await reader.next()
    except RuntimeError as error:  # a field _charset_ that names none
        raise ValueError(str(error)) from error


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(PIECE_BYTES):
        yield piece


@Operation(answers={204: None}, parameters=(IF_MATCH,), raises=REFUSALS)
async def delete(request: web.Request) -> web.Response:
    """Remove one file."""
    session, path = _session(request), _path(request)
    await _check_conditions(request, session, path)
    with _refusals(path):
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
    session = _session(request)
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
