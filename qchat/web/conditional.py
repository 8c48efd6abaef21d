"""Conditions and ranges of requests for files: RFC 9110, sections 13 and 14."""

import os
import re

from aiohttp import ETag, hdrs, web

from qchat.errors import PreconditionFailed, RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


def etag_of(status: os.stat_result) -> str:
    """The value of a file's strong ETag, without the quotes. A file that is replaced gets another one."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def check_unchanged(request: web.Request, status: os.stat_result | None) -> None:
    """``If-Match`` and ``If-Unmodified-Since``; ``status`` None when there is no file.

    :raises PreconditionFailed: when the file is not the one that the client means.
    """
    if (wanted := request.if_match) is not None:
        if status is None or not _matches(status, tuple(tag for tag in wanted if not tag.is_weak)):
            raise _failed(request, hdrs.IF_MATCH, status)
        return
    since = request.if_unmodified_since
    if since is not None and status is not None and int(status.st_mtime) > since.timestamp():
        raise _failed(request, hdrs.IF_UNMODIFIED_SINCE, status)


def check_absent(request: web.Request, status: os.stat_result | None) -> None:
    """``If-None-Match`` of a request that writes.

    :raises PreconditionFailed:
    """
    unwanted = request.if_none_match
    if status is not None and unwanted is not None and _matches(status, unwanted):
        raise _failed(request, hdrs.IF_NONE_MATCH, status)


def is_known(request: web.Request, status: os.stat_result) -> bool:
    """``If-None-Match`` and ``If-Modified-Since``: whether the client has this file already (304)."""
    if (known := request.if_none_match) is not None:
        return _matches(status, known)
    since = request.if_modified_since
    return since is not None and int(status.st_mtime) <= since.timestamp()


def wanted_range(request: web.Request, status: os.stat_result) -> tuple[int, int] | None:
    """The first byte and the number of bytes; None for the whole file.

    What is not one well-formed range of bytes is ignored, and so is a range of another version.

    :raises RangeNotSatisfiable: when the range has nothing of the file.
    """
    found = _ONE_RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if request.method != hdrs.METH_GET or found is None or not _is_same_version(request, status):
        return None
    first, last = found.groups()
    size = status.st_size
    if first:
        start, end = int(first), int(last) if last else size - 1
        if end < start and last:
            return None  # not well-formed
    elif last:
        start, end = max(0, size - int(last)), size - 1
        if size == 0 and int(last):
            return None  # satisfiable, and there is nothing that Content-Range could say
    else:
        return None
    if start >= size:
        refusal = RangeNotSatisfiable(f"{request.headers[hdrs.RANGE][:100]} of {size} bytes")
        refusal.headers = {hdrs.CONTENT_RANGE: f"bytes */{size}"}
        raise refusal
    return start, min(end, size - 1) - start + 1


def _is_same_version(request: web.Request, status: os.stat_result) -> bool:
    version = request.headers.get(hdrs.IF_RANGE, "").strip()
    if not version:
        return True
    if (date := request.if_range) is not None:
        return int(status.st_mtime) == date.timestamp()
    return version == f'"{etag_of(status)}"'


def _matches(status: os.stat_result, tags: tuple[ETag, ...]) -> bool:
    return any(tag.value in ("*", etag_of(status)) for tag in tags)


def _failed(request: web.Request, header: str, status: os.stat_result | None) -> PreconditionFailed:
    found = f'"{etag_of(status)}"' if status else "not there"
    return PreconditionFailed(f"{header}: {request.headers[header][:100]}, the file is {found}")
