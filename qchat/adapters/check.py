"""Whether rows, transcripts and directories agree, and what can be put right.

Nothing is thrown away that somebody might miss: what belongs to no row is moved to ``.qchat/lost/``.
While a service runs everything changes, so whatever looks wrong is looked at a second time.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from attrs import define, evolve, field, frozen

from qchat.adapters import switch
from qchat.adapters.database import Database, connect
from qchat.adapters.directories import empty_trash
from qchat.adapters.progress import Progress, unseen
from qchat.adapters.rowcheck import EMPTY_SHA256, integrity_problems
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.statedir import StateDir
from qchat.adapters.transcript import digest
from qchat.errors import QchatError
from qchat.model.session import is_session_id

Action = Callable[[], object]
_TRANSCRIPT = re.compile(r"([1-9][0-9]{0,9})\.(out|err|json)")
_FINISHED = "state NOT IN ('queued', 'running')"


@frozen(kw_only=True)
class Finding:
    """Something that is not as it should be."""

    what: str
    """A sentence that names it."""
    advice: str = ""
    """What the operator can do; empty when ``check --repair`` does it."""
    repaired: str = ""
    """What was done about it."""
    harmless: bool = False
    """The service copes with it by itself."""


def check(state: StateDir, *, alone: bool, repair: bool, progress: Progress = unseen) -> list[Finding]:
    """Look at everything. ``alone``: no service runs, and the lock is held; ``repair`` takes that.

    :raises StorageUnavailable: when the database is of another release.
    """
    if not state.private.is_dir():
        return []  # no service has ever been here
    return [*_Check(state=state, alone=alone, repair=repair, progress=progress).findings()]


@define(eq=False, kw_only=True)
class _Check:
    state: StateDir
    alone: bool
    repair: bool
    progress: Progress
    _rows: dict[str, bool] = field(factory=dict)
    """Sessions, and whether each has expired."""

    def findings(self) -> Iterator[Finding]:
        if self.state.database.exists():
            yield from self._check_database()
        elif any(is_session_id(name) for name in os.listdir(self.state.private)):
            yield from self._check_state_directories(None)
        if self.alone:
            yield from self._check_leftovers()

    def _check_database(self) -> Iterator[Finding]:
        self.progress("checking the database", 0, 1)
        try:
            database = Database.read_only(self.state.database, MIGRATIONS)
        except QchatError as error:
            if not isinstance(error.__cause__, sqlite3.DatabaseError):
                raise
            yield self._damaged(str(error.__cause__))
            return
        with closing(database.reader) as reader:
            try:
                if problems := integrity_problems(reader):
                    yield from map(self._damaged, problems)
                    return
                self._rows = dict(reader.execute("SELECT id, expired FROM sessions").fetchall())
                yield from self._check_transcripts(reader)
                yield from self._check_workspaces(reader)
                yield from self._check_state_directories(reader)
            except sqlite3.DatabaseError as error:
                yield self._damaged(str(error))

    def _damaged(self, problem: str) -> Finding:
        return Finding(
            what=f"the database {self.state.database} is damaged: {problem}",
            advice="stop the server and restore a backup; without one, move qchat.db* away and run"
            " check --repair: the directories are then taken over as new sessions, without their turns",
        )

    # Transcripts

    def _check_transcripts(self, reader: sqlite3.Connection) -> Iterator[Finding]:
        query = f"SELECT session_id, number, bytes, sha256 FROM turns WHERE {_FINISHED}"
        turns = reader.execute(query).fetchall()
        for done, (session_id, number, size, sha256) in enumerate(turns, 1):
            self.progress("checking transcripts", done, len(turns))
            wanted = (size or 0, sha256 or EMPTY_SHA256)
            found = self._digest(session_id, number)
            if found == wanted or not self._is_still(reader, session_id, number, size):
                continue
            path = self.state.transcript(session_id, number)
            yield Finding(
                what=f"the transcript {path} is not what was recorded: {_difference(path, found, wanted)}",
                advice="restore a backup if this answer matters",
            )

    def _digest(self, session_id: str, number: int) -> tuple[int, str] | str:
        try:
            return digest(self.state.transcript(session_id, number))
        except OSError as error:
            return str(error.strerror)

    @staticmethod
    def _is_still(reader: sqlite3.Connection, session_id: str, number: int, size: int | None) -> bool:
        query = "SELECT 1 FROM turns WHERE session_id = ? AND number = ? AND bytes IS ?"
        return reader.execute(query, (session_id, number, size)).fetchone() is not None

    # Directories

    def _check_workspaces(self, reader: sqlite3.Connection) -> Iterator[Finding]:
        there = {entry.name for entry in self.state.on_disk()}
        for session_id, expired in self._rows.items():
            if session_id in there or not self._has_row(reader, session_id):
                continue
            path = self.state.workspace(session_id)
            if path.is_dir() and not path.is_symlink():
                continue
            if expired:
                found = Finding(what=f"the expired session {session_id} has no directory")
                yield self._repaired(found, "forgotten", partial(self._forget, session_id))
            elif path.is_symlink() or path.exists():
                advice = "move it away and run check --repair"
                yield Finding(
                    what=f"{path} is not a directory, but session {session_id} needs it", advice=advice
                )
            else:
                found = Finding(what=f"the session {session_id} has no directory")
                yield self._repaired(found, "made an empty one", partial(self.state.create, session_id))

    def _has_row(self, reader: sqlite3.Connection | None, session_id: str) -> bool:
        if reader is None:
            return False
        return reader.execute("SELECT 1 FROM sessions WHERE id = ?", (session_id,)).fetchone() is not None

    def _forget(self, session_id: str) -> None:
        switch.discard(self.state.private, session_id)
        with closing(connect(self.state.database, MIGRATIONS)) as connection:
            connection.execute("DELETE FROM sessions WHERE id = ? AND expired", (session_id,))

    def _check_state_directories(self, reader: sqlite3.Connection | None) -> Iterator[Finding]:
        """A transcript without its row is in the way of the next turn of that number."""
        for name in filter(is_session_id, os.listdir(self.state.private)):
            directory = self.state.private / name
            if not self._has_row(reader, name):
                if directory.exists():
                    found = Finding(what=f"{directory} belongs to no session")
                    yield self._repaired(
                        found, "moved to lost/", partial(self.state.set_aside, directory, name)
                    )
                continue
            for path in self._strays(reader, directory):
                found = Finding(what=f"the transcript {path} belongs to no turn")
                yield self._repaired(
                    found, "moved to lost/", partial(self.state.set_aside, path, f"{name}-{path.name}")
                )

    def _strays(self, reader: sqlite3.Connection | None, directory: Path) -> Iterable[Path]:
        if reader is None:
            return
        with suppress(FileNotFoundError):
            for name in os.listdir(directory / "turns"):
                if not (found := _TRANSCRIPT.fullmatch(name)):
                    continue
                query = "SELECT 1 FROM turns WHERE session_id = ? AND number = ?"
                if reader.execute(query, (directory.name, int(found[1]))).fetchone() is None:
                    yield directory / "turns" / name

    # Leftovers

    def _check_leftovers(self) -> Iterator[Finding]:
        if self.state.trash.exists() and (count := len(os.listdir(self.state.trash))):
            found = Finding(what=f"{count} removed directories wait in {self.state.trash}", harmless=True)
            yield self._repaired(found, "deleted", self._empty_trash)
        if self.state.control_socket.exists():
            found = Finding(
                what=f"{self.state.control_socket} was left by a server that was killed", harmless=True
            )
            yield self._repaired(found, "deleted", self.state.control_socket.unlink)
        for path in self.state.private.glob(f"{switch.STAGING}*"):
            if path.name != switch.NOTE:
                found = Finding(
                    what=f"{path} was left by a restore that was interrupted; it changed nothing",
                    harmless=True,
                )
                yield self._repaired(found, "deleted", partial(switch.discard, path.parent, path.name))

    def _empty_trash(self) -> None:
        if stuck := empty_trash(self.state, self.progress):
            raise OSError("; ".join(stuck[:3]))

    def _repaired(self, finding: Finding, how: str, action: Action) -> Finding:
        if not self.repair:
            return finding
        try:
            action()
        except (OSError, sqlite3.Error, QchatError) as error:
            return evolve(finding, advice=f"it could not be repaired: {error}")
        return evolve(finding, repaired=how)


def _difference(path: Path, found: tuple[int, str] | str, wanted: tuple[int, str]) -> str:
    if isinstance(found, str):
        return f"it cannot be read: {found}"
    if not path.exists():
        return f"it is missing ({wanted[0]} bytes)"
    if found[0] != wanted[0]:
        return f"it has {found[0]} bytes, not {wanted[0]}"
    return "its bytes have changed"
