"""Files that clients put into a workspace: one as a body, or several as a form. Whole or not at all."""

import os
from collections.abc import AsyncIterator

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from qchat.adapters.workspace import Entry
from qchat.context import context
from qchat.errors import QuotaExceeded, StorageFull, ValidationError
from qchat.service.uploads import Batch
from qchat.web.access import principal
from qchat.web.access import session as session_of
from qchat.web.conditional import etag_of
from qchat.web.files import REFUSALS, check_conditions, file_view, named_path, refusals
from qchat.web.operation import Media, Operation
from qchat.web.parameters import IF_MATCH, IF_NONE_MATCH
from qchat.web.views import FileView, Uploaded
from qchat.web.wire import json_response

PIECE_BYTES = 256 * 1024
MAX_PARTS = 100
"""Files in one request; each holds descriptors until all have come."""
MULTIPART_BYTES = 64 * 1024
"""By how much a multipart body may be more than its files, when it is asked whether there is room."""


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
    session, path = session_of(request), named_path(request)
    await check_conditions(request, session, path)
    only_new = request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*"
    pieces = request.content.iter_chunked(PIECE_BYTES)
    with refusals(path):
        async with ctx.uploads.begin(session.id, request.content_length or 0) as batch:
            await batch.stage(path, pieces, replace=not only_new)
            async with batch.lock:  # the body took its time: look again, and let nobody come between
                _still(request)
                existing = await check_conditions(request, session, path)
                status = await batch.commit(0)
    await ctx.sessions.touch(session.id)
    entry = Entry(path, status.st_size, status.st_mtime)
    return json_response(
        file_view(session.id, entry),
        status=200 if existing else 201,
        headers={hdrs.ETAG: f'"{etag_of(status)}"'},
    )


def _still(request: web.Request) -> None:
    """:raises SessionNotFound: when the session was deleted while the body came."""
    context(request).sessions.get(session_of(request).id, principal(request))


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
    session = session_of(request)
    if not request.content_type.startswith("multipart/"):
        raise ValidationError(f"Content-Type {request.content_type}: it takes multipart/form-data")
    announced = max(0, (request.content_length or 0) - MULTIPART_BYTES)
    found = []
    async with ctx.uploads.begin(session.id, announced) as batch:
        paths = await _stage_all(request, batch)
        async with batch.lock:
            _still(request)
            for number, path in enumerate(paths):
                with refusals(path):
                    status = await batch.commit(number)
                found.append(file_view(session.id, Entry(path, status.st_size, status.st_mtime)))
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
            with refusals(paths[-1]):
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
