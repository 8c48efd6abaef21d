"""Putting restored state in the place of what is there, so that it happens wholly or not at all.

A note says what is to take whose place; before it is written nothing has changed. Whoever gets the lock
of the directory finds it and goes on where the last one stopped, however that one ended.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from qchat.adapters.removal import remove_tree
from qchat.adapters.statedir import StateDir
from qchat.errors import StorageUnavailable
from qchat.model.session import is_session_id

NOTE = "restore.json"
STAGING, ASIDE = "restore-", "before-restore-"
_MOVED = "complete"
"""A file in the directory of what was moved aside, once that is all."""


def begin(state: StateDir, staging: str, aside: str, *, keep: bool) -> None:
    """Write the note: directories in ``.qchat``, and whether what is moved aside is worth keeping."""
    note = {"staging": staging, "aside": aside, "keep": keep}
    written = state.private / f"{NOTE}.new"
    written.write_text(json.dumps(note), encoding="utf-8")
    _sync(written)
    written.rename(state.private / NOTE)
    _sync(state.private)


def complete(state: StateDir) -> None:
    """Go on with a restore that was begun; with the lock held.

    :raises StorageUnavailable: when something stands in the way.
    """
    path = state.private / NOTE
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    aside = state.private / note["aside"]
    try:
        _move_aside(state, aside)
        _move_in(state, state.private / note["staging"])
        path.unlink()
        _sync(state.private)
    except OSError as error:
        raise StorageUnavailable(
            en=f"a restore was begun in {state.base} and cannot be completed: {error}."
            " Remove what stands in the way and try again"
        ) from error
    discard(state.private, note["staging"])
    if not note["keep"]:
        discard(state.private, note["aside"])


def discard(parent: Path, name: str) -> None:
    """Remove what ``name`` is in the directory ``parent``, with everything in it."""
    fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(fd, name)
    finally:
        os.close(fd)


def _move_aside(state: StateDir, aside: Path) -> None:
    if (aside / _MOVED).exists():
        return
    for path in (aside, aside / "sessions", aside / "state"):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    for entry in list(state.on_disk()):
        os.rename(entry.path, aside / "sessions" / entry.name)
    for name in filter(is_session_id, os.listdir(state.private)):
        os.rename(state.private / name, aside / "state" / name)
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{state.database}{suffix}", aside / f"{state.database.name}{suffix}")
    _sync(state.base)
    (aside / _MOVED).touch()
    _sync(aside)


def _move_in(state: StateDir, staging: Path) -> None:
    for name in os.listdir(staging / "state"):
        os.rename(staging / "state" / name, state.private / name)
    for name in os.listdir(staging / "sessions"):
        os.rename(staging / "sessions" / name, state.base / name)
    with suppress(FileNotFoundError):  # a backup without rows
        os.rename(staging / state.database.name, state.database)
    _sync(state.base)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can, for a directory
            os.fsync(fd)
    finally:
        os.close(fd)
