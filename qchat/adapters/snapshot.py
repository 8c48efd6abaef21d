"""What a backup consists of, read while the service runs.

::

    qchat-backup.json              first: the format, and what the backup is of
    sessions/{session id}/...      workspaces
    state/{session id}/turns/...   {n}.out, {n}.err and {n}.json
    state/{session id}/home/...    the agents' homes: their memory of conversations, and their login
    state/{session id}/seeded      with a home: that it has been prepared
    qchat.db                       the rows
    manifest.json                  last: what was left out, and why

The rows are copied first, at one instant, and say what belongs to the backup: the transcripts of the
turns that were begun by then, each as far as its row counts it. Transcripts only grow, so that is there
however long the copying takes. Workspaces are copied as they are found. A session that is deleted
meanwhile is taken out of the backup whole.
"""

import json
import os
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

from attrs import define, field

import qchat
from qchat.adapters.beneath import NotFound, WorkspaceError, open_directory
from qchat.adapters.database import connect, connect_read_only
from qchat.adapters.progress import Progress
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.statedir import StateDir
from qchat.adapters.tarstream import TarWriter
from qchat.adapters.treecopy import TreeCopy
from qchat.adapters.workspace import Workspace

FORMAT = 1
HEADER, DATABASE, MANIFEST = "qchat-backup.json", "qchat.db", "manifest.json"
SEEDED = "seeded"
DELETION_SECONDS = 5.0
"""A session's files go before its row does, by less than this."""
Transcripts = list[tuple[int, int | None]]
"""(turn, length of its transcript); None for all of it, while the turn runs."""


@define(eq=False, kw_only=True)
class _Copied:
    """One session, as far as it was found."""

    id: str
    bare: bool
    """It had no row when the rows were copied."""
    tree: TreeCopy
    lost: list[int] = field(factory=list)
    """Turns whose transcript is not there, or is shorter than it was."""
    moved: bool = False
    """Its directory was not there, or not to the end."""

    def sentences(self) -> list[str]:
        """What of it is not in the backup."""
        gone = [f"state/{self.id}/turns/{number}.out: not all of it is there" for number in self.lost]
        return [*self.tree.left_out, *gone, *([f"sessions/{self.id}: it is not there"] if self.moved else [])]


@define(eq=False, kw_only=True)
class Snapshot:
    """Take it, then write it."""

    state: StateDir
    homes: bool
    progress: Progress
    rows: sqlite3.Connection | None
    """A copy, as they were at the start."""
    live: sqlite3.Connection | None
    """As they are now."""
    database: Path
    """Where the copy is."""
    base_fd: int
    sessions: int = 0
    turns: int = 0
    files: int = 0
    deleted: list[str] = field(factory=list)
    """Sessions that were deleted meanwhile, or just being made."""
    missing: list[tuple[str, int]] = field(factory=list)
    """(session, turn) of transcripts that had been lost before."""
    left_out: list[str] = field(factory=list)

    @classmethod
    def take(
        cls, state: StateDir, scratch: Path, homes: bool, progress: Progress, stack: ExitStack
    ) -> "Snapshot":
        """Copy the rows to the directory ``scratch``: what is committed from here on is not in the backup.

        :raises StorageUnavailable: when the database is of another release.
        """
        live = rows = None
        if state.database.exists():
            progress("copying the rows", 0, 1)
            live = stack.enter_context(closing(connect_read_only(state.database)))
            with closing(sqlite3.connect(scratch / DATABASE)) as copy:
                live.backup(copy)  # in one step, or it would begin anew whenever something is written
            rows = stack.enter_context(closing(connect(scratch / DATABASE, MIGRATIONS)))
            rows.execute("PRAGMA journal_mode = DELETE")  # all in one file
            progress("copying the rows", 1, 1)
        base_fd = os.open(state.base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, base_fd)
        return cls(
            state=state,
            homes=homes,
            progress=progress,
            rows=rows,
            live=live,
            database=scratch / DATABASE,
            base_fd=base_fd,
        )

    def write(self, tar: TarWriter) -> None:
        """Write everything, and say on the way what is missing."""
        now = time.time()
        header = {
            "format": FORMAT,
            "qchat": qchat.__version__,
            "created": now,
            "base": str(self.state.base),
            "homes": self.homes,
            "database": self.rows is not None,
        }
        tar.add_bytes(HEADER, json.dumps(header).encode(), now)
        doubtful = []
        found = self._sessions()
        for done, (session_id, bare) in enumerate(found.items(), 1):
            copied = self._copy(tar, session_id, bare)
            if copied.bare or copied.moved or copied.lost:
                doubtful.append(copied)
            else:
                self._count(copied)
            self.progress("copying sessions", done, len(found))
        self._settle(doubtful)
        if self.rows is not None:
            self._add_rows(tar, self.rows)
        manifest = {
            "sessions": self.sessions,
            "turns": self.turns,
            "files": self.files,
            "deleted": self.deleted,
            "missing": self.missing,
            "left_out": self.left_out,
        }
        tar.add_bytes(MANIFEST, json.dumps(manifest).encode(), now)

    def _sessions(self) -> dict[str, bool]:
        """Those of the copied rows, and those (True) that are directories only; not what was made since."""
        rows = self.rows.execute("SELECT id FROM sessions ORDER BY created") if self.rows else ()
        found = {name: False for (name,) in rows}
        bare = [entry.name for entry in self.state.on_disk() if entry.name not in found]
        return found | {name: True for name in bare if not self._has_row(name)}

    def _has_row(self, session_id: str) -> bool:
        query = "SELECT 1 FROM sessions WHERE id = ?"
        return self.live is not None and self.live.execute(query, (session_id,)).fetchone() is not None

    def _count(self, copied: _Copied) -> None:
        self.sessions += 1
        self.files += copied.tree.files
        self.missing += [(copied.id, number) for number in copied.lost]
        self.left_out += copied.sentences()

    def _settle(self, doubtful: list[_Copied]) -> None:
        """Tell sessions that came or went meanwhile from those that had lost something before."""
        deadline = time.monotonic() + DELETION_SECONDS
        waiting = [copied for copied in doubtful if not copied.bare]
        while any(self._has_row(copied.id) for copied in waiting) and time.monotonic() < deadline:
            time.sleep(0.05)
        for copied in doubtful:
            if copied.bare:
                # One that got a row was being made, and had its directory first.
                stays = self.state.workspace(copied.id).is_dir() and not self._has_row(copied.id)
            else:
                stays = self._has_row(copied.id)
            if stays:
                self._count(copied)
            else:
                self.deleted.append(copied.id)

    def _copy(self, tar: TarWriter, session_id: str, bare: bool) -> _Copied:
        turns = self._transcripts(session_id)
        copied = _Copied(id=session_id, bare=bare, tree=TreeCopy(tar))
        try:
            with Workspace.open(self.base_fd, session_id) as workspace:
                copied.tree.add(f"sessions/{session_id}", workspace.fd)
                self._copy_state(tar, copied, turns)
                # A deletion moves the workspace away first: while that is here, all of it was.
                copied.moved = not _is_at(self.base_fd, session_id, workspace.fd)
        except NotFound:
            copied.moved = True
            self._copy_state(tar, copied, turns)
        except (WorkspaceError, OSError) as error:
            copied.tree.left_out.append(f"sessions/{session_id}: {error}")
            self._copy_state(tar, copied, turns)
        return copied

    def _transcripts(self, session_id: str) -> Transcripts:
        """Not of turns that wait: what they have written by now comes after the backup's instant."""
        query = (
            "SELECT number, CASE state WHEN 'running' THEN NULL ELSE coalesce(bytes, 0) END"
            " FROM turns WHERE session_id = ? AND state != 'queued' ORDER BY number"
        )
        return self.rows.execute(query, (session_id,)).fetchall() if self.rows else []

    def _copy_state(self, tar: TarWriter, copied: _Copied, turns: Transcripts) -> None:
        if copied.bare:
            return  # what there may be belongs to a session that is forgotten
        prefix = f"state/{copied.id}"
        with ExitStack() as stack:
            try:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(self.state.private / copied.id, flags)
            except FileNotFoundError:
                copied.lost += [number for number, size in turns if size]
                return
            stack.callback(os.close, fd)
            for number, size in turns:
                if not _add_transcript(tar, prefix, fd, f"{number}.out", size):
                    copied.lost.append(number)
                for beside in ("err", "json"):
                    _add_transcript(tar, prefix, fd, f"{number}.{beside}", None)
            if self.homes:
                try:
                    home = open_directory(fd, [b"home"])
                    stack.callback(os.close, home)
                    copied.tree.add(f"{prefix}/home", home)
                except FileNotFoundError:
                    return
                except (WorkspaceError, OSError) as error:
                    copied.tree.left_out.append(f"{prefix}/home: {error}")
                if (self.state.private / copied.id / SEEDED).exists():
                    tar.add_bytes(f"{prefix}/{SEEDED}", b"", time.time())

    def _add_rows(self, tar: TarWriter, rows: sqlite3.Connection) -> None:
        rows.execute("BEGIN IMMEDIATE")
        rows.executemany("DELETE FROM sessions WHERE id = ?", [(name,) for name in self.deleted])
        rows.execute("COMMIT")
        (self.turns,) = rows.execute("SELECT count(*) FROM turns").fetchone()
        fd = os.open(self.database, os.O_RDONLY | os.O_CLOEXEC)
        try:
            tar.add_file(DATABASE.encode(), os.fstat(fd), fd)
        finally:
            os.close(fd)


def _add_transcript(tar: TarWriter, prefix: str, session_fd: int, name: str, size: int | None) -> bool:
    """Add a transcript up to ``size`` bytes, or all of it; false when that many are not there."""
    try:
        fd = os.open(f"turns/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=session_fd)
    except FileNotFoundError:
        return not size
    try:
        status = os.fstat(fd)
        wanted = status.st_size if size is None else size
        tar.add_file(f"{prefix}/turns/{name}".encode(), status, fd, min(wanted, status.st_size))
        return wanted <= status.st_size
    finally:
        os.close(fd)


def _is_at(base_fd: int, session_id: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(session_id, dir_fd=base_fd, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False
