"""What requests for files share: the name in the URL, what a workspace refuses, how a file looks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote_from_bytes, unquote_to_bytes

from aiohttp import web

from qchat.adapters import beneath
from qchat.adapters.workspace import Entry, displayed
from qchat.context import context
from qchat.errors import (
    Conflict,
    FileNotFound,
    Forbidden,
    Overloaded,
    PreconditionFailed,
    SessionNotFound,
    ValidationError,
)
from qchat.model.session import Session
from qchat.web.conditional import check_absent, check_unchanged
from qchat.web.views import FileView

REFUSALS = (SessionNotFound, FileNotFound, Conflict, PreconditionFailed)


def named_path(request: web.Request) -> bytes:
    """The bytes of the name, which need not be UTF-8: taken from the request as it came."""
    raw = request.raw_path.partition("?")[0]
    return unquote_to_bytes(raw.partition("/files/")[2])


@contextmanager
def refusals(path: bytes) -> Iterator[None]:
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


def file_view(session_id: str, entry: Entry) -> FileView:
    return FileView(
        name=entry.name,
        path=entry.path,
        size=entry.size,
        modified_time=entry.modified_time,
        href=f"/api/v1/sessions/{session_id}/files/{quote_from_bytes(entry.raw)}",
    )


async def check_conditions(request: web.Request, session: Session, path: bytes) -> bool:
    """Whether there is a file already.

    :raises PreconditionFailed: when it is not the one that the client means.
    """
    with refusals(path):
        status = await asyncio.to_thread(context(request).files.status, session.id, path)
    check_unchanged(request, status)
    check_absent(request, status)
    return status is not None
