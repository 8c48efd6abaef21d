"""Looking through session directories: how many files, how many bytes, how old."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qchat.adapters.beneath import WorkspaceError, refused
from qchat.adapters.tree import Walk
from qchat.adapters.upload import is_temporary
from qchat.adapters.workspace import Workspace, displayed
from qchat.model.cleanup import Survey

MOST_ENTRIES = 5_000_000
"""A bound on what an agent can make the operator wait for; far above what the service lets it have."""
MOST_FILES = 200_000
"""Files that are told one by one."""
_PATH_BYTES = 16384


def surveys(
    base: Path, session_ids: Iterable[str]
) -> Iterator[tuple[str, Survey | WorkspaceError | OSError]]:
    """Survey directories one by one, each with its id; or with the error of one that cannot be read."""
    fd = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for session_id in session_ids:
            try:
                with Workspace.open(fd, session_id) as workspace:
                    found: Survey | WorkspaceError | OSError = survey(workspace)
            except (WorkspaceError, OSError) as error:
                found = error
            yield session_id, found
    finally:
        os.close(fd)


def survey(workspace: Workspace) -> Survey:
    """Walk through a workspace without changing anything.

    :raises WorkspaceError: when it cannot be read.
    """
    files = size = 0
    empty = True
    modified = created = _changed(os.stat(workspace.fd))
    walk = Walk(root=workspace.fd, most=MOST_ENTRIES)
    for _, status in _entries(walk):
        empty = False
        modified = max(modified, _changed(status))
        if stat.S_ISREG(status.st_mode):
            files += 1
            size += status.st_size
    return Survey(modified, created, files, size, empty, walk.complete)


def files(workspace: Workspace, shown_base: str) -> tuple[list[dict[str, Any]], bool]:
    """The regular files, and whether these are all.

    Each is ``{name, path, absolute_path, size, created_time, modified_time}``, its names fit for display.

    :raises WorkspaceError: when the workspace cannot be read.
    """
    found: list[dict[str, Any]] = []
    walk = Walk(root=workspace.fd, most=MOST_ENTRIES)
    for name, status in _entries(walk):
        if not stat.S_ISREG(status.st_mode) or is_temporary(name):
            continue
        raw = walk.path(name)
        if len(found) == MOST_FILES or len(raw) > _PATH_BYTES:
            return found, False
        path = displayed(raw)
        found.append(
            {
                "name": displayed(name),
                "path": path,
                "absolute_path": f"{shown_base}/{path}",
                "size": status.st_size,
                "created_time": min(status.st_ctime, status.st_mtime),
                "modified_time": status.st_mtime,
            }
        )
    return found, walk.complete


def _entries(walk: Walk) -> Iterator[tuple[bytes, os.stat_result]]:
    try:
        yield from walk
    except OSError as error:
        raise refused(error) from None


def _changed(status: os.stat_result) -> float:
    """When an entry was modified. Anyone can write a date into the future, but not when that was done."""
    return min(status.st_mtime, status.st_ctime)
