"""The files of a workspace. An agent wrote them: they are sent as attachments, never as pages."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Literal
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError

from qchat.adapters import beneath
from qchat.adapters.upload import Upload
from qchat.adapters.workspace import Entry, displayed
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
from qchat.web.access import session as _session
from qchat.web.operation import BINARY, Media, Operation
from qchat.web.parameters import (
    IF_MATCH,
    IF_NONE_MATCH,
    RANGE,
    Choice,
    Flag,
    Parameter,
    WholeNumber,
    limit_of,
)
from qchat.web.views import FilePage, FileView, Uploaded, directories
from qchat.web.wire import check_range, json_response

PIECE_BYTES = 256 * 1024
_COMMITS = asyncio.Lock()
MAX_LISTED = 100_000
# Shown in place when asked for: types that no browser runs anything in.
PREVIEWS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
HOSTILE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "private, no-cache",
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
    except beneath.NotFound as error:
        raise FileNotFound(f"{shown}: {error}") from error
    except beneath.Outside as error:
        raise ValidationError(f"path {shown}: {error}") from error
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


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'  # as aiohttp's FileResponse makes it


@Operation(answers={200: FilePage}, parameters=(LIMIT, AFTER, DEPTH, GLOB), raises=(SessionNotFound,))
async def index(request: web.Request) -> web.Response:
    """The regular files, recursively; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    session = _session(request)
    limit = LIMIT.read(request)
    listing = await asyncio.to_thread(
        ctx.files.listing,
        session.id,
        limit=limit,
        after=unquote_to_bytes(AFTER.text(request)),
        depth=DEPTH.read(request) or None,
        glob=GLOB.text(request),
    )
    entries = [_view(session.id, entry) for entry in listing.entries]
    following = quote_from_bytes(listing.entries[-1].raw) if listing.truncated and entries else None
    return json_response(
        FilePage(
            session_id=session.id,
            **directories(session.id, ctx.settings, str(ctx.state.workspace(session.id))),
            files=entries,
            file_count=len(entries),
            truncated=listing.truncated,
            next=following,
        )
    )


@Operation(
    answers={200: Media((BINARY, "text/plain", *PREVIEWS.values())), 206: Media(), 304: None},
    parameters=(PREVIEW, RANGE, IF_MATCH, IF_NONE_MATCH),
    raises=(*REFUSALS, RangeNotSatisfiable),
)
async def download(request: web.Request) -> web.StreamResponse:
    """One file, with ranges and conditions; ``preview=1`` shows text and pictures in place."""
    session, path = _session(request), _path(request)
    with _refusals(path):
        fd, status = await asyncio.to_thread(context(request).files.open, session.id, path)
    try:
        check_range(request, status.st_size)
    except BaseException:
        os.close(fd)
        raise
    return _OpenFile(fd, headers={**HOSTILE, **_kind(request, path)})


class _OpenFile(web.FileResponse):
    """A file that is open already: whatever takes its name meanwhile, this is the one that was checked."""

    def __init__(self, fd: int, headers: dict[str, str]) -> None:
        super().__init__(f"/proc/self/fd/{fd}", headers=headers)
        self._fd = fd

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self._fd < 0:  # sent, and the number may belong to another file by now
            return None
        try:
            return await super().prepare(request)
        finally:
            os.close(self._fd)
            self._fd = -1


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
    session, path = _session(request), _path(request)
    await _check_conditions(request, session, path)
    only_new = request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*"
    room = await _room(request, session)
    pieces = request.content.iter_chunked(PIECE_BYTES)
    with _refusals(path):
        upload, _ = await _stage(request, session, path, pieces, replace=not only_new, room=room)
        with closing(upload):
            async with _COMMITS:  # the body took its time: look again, and let nobody come between
                existing = await _check_conditions(request, session, path)
                status = await asyncio.to_thread(upload.commit)
    await context(request).sessions.touch(session.id)
    status_code = 200 if existing else 201
    entry = _view(session.id, _entry(path, status))
    return json_response(entry, status=status_code, headers={"ETag": _etag(status)})


def _entry(path: bytes, status: os.stat_result) -> Entry:
    name = displayed(path.rpartition(b"/")[2])
    return Entry(name, displayed(path), status.st_size, status.st_mtime, path)


async def _check_conditions(request: web.Request, session: Session, path: bytes) -> bool:
    """Whether there is a file already.

    :raises PreconditionFailed: when it is not the one that the client means.
    """
    try:
        with _refusals(path):
            fd, status = await asyncio.to_thread(context(request).files.open, session.id, path)
        os.close(fd)
        etag = _etag(status)
    except (FileNotFound, Conflict, Forbidden):
        etag = ""
    wanted = request.headers.get(hdrs.IF_MATCH)
    if wanted is not None and not (etag and (wanted.strip() == "*" or etag in _etags(wanted))):
        raise PreconditionFailed(f"If-Match: {wanted[:100]}, the file is {etag or 'not there'}")
    unwanted = request.headers.get(hdrs.IF_NONE_MATCH)
    if unwanted is not None and etag and (unwanted.strip() == "*" or etag in _etags(unwanted)):
        raise PreconditionFailed(f"If-None-Match: {unwanted[:100]}, the file is {etag}")
    return bool(etag)


def _etags(header: str) -> list[str]:
    return [part.strip() for part in header.split(",")]


async def _stage(
    request: web.Request, session: Session, path: bytes, pieces: Any, *, replace: bool, room: int
) -> tuple[Upload, int]:
    """Write what comes to a file that has no name yet: (the upload, the room that is left)."""
    files = context(request).files
    upload = await asyncio.to_thread(files.upload, session.id, path, replace=replace)
    try:
        async for piece in pieces:
            room -= len(piece)
            if room < 0:
                raise QuotaExceeded(limit=context(request).settings.session_bytes)
            await asyncio.to_thread(upload.write, piece)
    except BaseException:
        upload.close()
        raise
    return upload, room


async def _room(request: web.Request, session: Session) -> int:
    """How many bytes the session may still take.

    :raises QuotaExceeded: when it is full.
    """
    ctx = context(request)
    usage = await asyncio.to_thread(ctx.files.usage, session.id)
    if usage.entries >= ctx.settings.session_files:
        raise QuotaExceeded(limit_files=ctx.settings.session_files)
    room = ctx.settings.session_bytes - usage.bytes
    if (request.content_length or 0) > room + 65536:  # a multipart body is a little more than its files
        raise QuotaExceeded(limit=ctx.settings.session_bytes)
    return room


@Operation(
    answers={201: Uploaded},
    body=Media(("multipart/form-data",)),
    raises=(*REFUSALS, QuotaExceeded, StorageFull),
)
async def post(request: web.Request) -> web.Response:
    """Several files as multipart/form-data; the file names are paths in the workspace.

    They get their names when the whole body has been read: what is refused changes nothing.
    """
    session = _session(request)
    if not request.content_type.startswith("multipart/"):
        raise ValidationError(f"Content-Type {request.content_type}: it takes multipart/form-data")
    with ExitStack() as staged:
        uploads = await _stage_all(request, session, staged)
        found = []
        for path, upload in uploads:
            with _refusals(path):
                status = await asyncio.to_thread(upload.commit)
            found.append(_view(session.id, _entry(path, status)))
    await context(request).sessions.touch(session.id)
    return json_response(Uploaded(files=found), status=201)


async def _stage_all(request: web.Request, session: Session, staged: ExitStack) -> list[tuple[bytes, Upload]]:
    uploads = []
    room = await _room(request, session)
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.filename:
                raise ValidationError("every part must be a file with a filename")
            path = os.fsencode(part.filename)
            with _refusals(path):
                upload, room = await _stage(request, session, path, _pieces(part), replace=True, room=room)
            staged.callback(upload.close)
            uploads.append((path, upload))
    except (ValueError, AssertionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise ValidationError(f"the body is not valid multipart/form-data: {error}") from error
    return uploads


async def _pieces(part: BodyPartReader) -> Any:
    while piece := await part.read_chunk(PIECE_BYTES):
        yield piece


@Operation(answers={204: None}, raises=REFUSALS)
async def delete(request: web.Request) -> web.Response:
    """Remove one file."""
    session, path = _session(request), _path(request)
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
    session = _session(request)
    kind: Literal["zip", "tar.gz"] = "tar.gz" if FORMAT.read(request) == "tar.gz" else "zip"
    response = web.StreamResponse(
        headers={
            **HOSTILE,
            hdrs.CONTENT_TYPE: "application/zip" if kind == "zip" else "application/gzip",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{session.id}.{kind}"',
        }
    )
    await response.prepare(request)
    loop = asyncio.get_running_loop()

    def send(piece: bytes) -> None:
        # Waits for the client: what it does not take is not made.
        asyncio.run_coroutine_threadsafe(response.write(piece), loop).result()

    await asyncio.to_thread(context(request).files.archive, session.id, kind, send)
    return response
