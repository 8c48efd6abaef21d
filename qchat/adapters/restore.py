"""Restoring a backup: it is unpacked beside, checked whole, and only then takes its place."""

import gzip
import io
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen

from qchat.adapters import switch
from qchat.adapters.database import connect_read_only
from qchat.adapters.progress import Progress, unseen
from qchat.adapters.rowcheck import accept_rows
from qchat.adapters.snapshot import DATABASE, SEEDED
from qchat.adapters.statedir import StateDir, give
from qchat.adapters.tarstream import BadArchive, TarReader
from qchat.adapters.unpack import Unpacking
from qchat.errors import QchatError
from qchat.model.session import is_session_id


class RestoreError(Exception):
    """Nothing was restored, and nothing has changed; the text says why."""


@frozen(kw_only=True)
class Restored:
    """What is there now."""

    sessions: int
    turns: int
    aside: Path | None
    """Where the state before is; None when there was none."""


def restore(
    state: StateDir, archive: Path, *, move_aside: bool = False, progress: Progress = unseen
) -> Restored:
    """Put the content of a backup in the place of what is there; with the lock held.

    ``move_aside`` allows that when there are sessions already; they are kept in a directory beside.

    :raises RestoreError:
    :raises StorageUnavailable: when it was begun and something stands in the way; it can be repeated.
    """
    present = _has_sessions(state)
    if present and not move_aside:
        raise RestoreError(
            f"there are sessions in {state.base} already; with --move-aside they are kept beside,"
            " out of the way of those in the backup"
        )
    name = f"{switch.STAGING}{os.urandom(4).hex()}"
    aside = f"{switch.ASIDE}{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
    try:
        (state.private / name).mkdir(mode=0o700)
        sessions, turns = _unpack(state, archive, state.private / name, progress)
        os.sync()
        switch.begin(state, name, aside, keep=present)
    except (BadArchive, sqlite3.Error, TypeError, ValueError) as error:
        raise RestoreError(f"{archive} is no backup that can be restored: {error}") from error
    except (OSError, QchatError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise RestoreError(f"{archive} was not restored: {why}") from error
    finally:
        if not (state.private / switch.NOTE).exists():
            switch.discard(state.private, name)
    switch.complete(state)
    return Restored(sessions=sessions, turns=turns, aside=state.private / aside if present else None)


def _has_sessions(state: StateDir) -> bool:
    if any(True for _ in state.on_disk()):
        return True
    if not state.database.exists():
        return False
    try:
        with closing(connect_read_only(state.database)) as connection:
            return connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return True  # damaged: worth keeping


def _unpack(state: StateDir, archive: Path, staging: Path, progress: Progress) -> tuple[int, int]:
    """Unpack and check everything; how many sessions and turns there are."""
    unpacking = Unpacking(staging)
    with _Watched(archive, progress) as file, gzip.GzipFile(fileobj=io.BufferedReader(file)) as packed:
        unpacking.take(TarReader(packed))
    for session_id in filter(is_session_id, unpacking.manifest.get("deleted", ())):
        for kind in ("sessions", "state"):
            switch.discard(staging / kind, session_id)
    turns = 0
    if unpacking.header.get("database"):
        turns = accept_rows(unpacking)
    _give_to_service(state, staging)
    return len(os.listdir(staging / "sessions")), turns


def _give_to_service(state: StateDir, staging: Path) -> None:
    """What is not an agent's belongs to the user of the service."""
    if os.geteuid() != 0:
        return
    for session in (staging / "state").iterdir():
        for path in (session, session / "turns", session / SEEDED, *session.glob("turns/*")):
            if path.exists():
                give(path, to_owner_of=state.private)
    for path in staging.glob(f"{DATABASE}*"):
        give(path, to_owner_of=state.private)


class _Watched(io.FileIO):
    """A file that says how much of it has been read."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path, "rb")
        self._progress = progress
        self._size = os.fstat(self.fileno()).st_size

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._progress("unpacking", min(self.tell(), self._size), self._size)
        return count
