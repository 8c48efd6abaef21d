"""The session directories, for the operator: what is there, and what may go."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from qchat.adapters import survey
from qchat.adapters.beneath import NotFound, WorkspaceError
from qchat.adapters.control import Control, ownership
from qchat.adapters.database import Database, connect
from qchat.adapters.progress import Progress, unseen
from qchat.adapters.removal import remove_tree
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.statedir import StateDir
from qchat.adapters.store import Store
from qchat.adapters.workspace import Workspace
from qchat.errors import StorageUnavailable
from qchat.model.cleanup import Cleaned, Rule, Survey
from qchat.model.session import Session, is_session_id
from qchat.settings import Settings

BATCH = 200
"""Directories that a running service is asked to remove at once."""


class SessionDirectoryManager:
    """Lists, describes and cleans the directories of sessions, with a service running or without one.

    ``base`` is the base directory; by default that of the environment (``SESSIONS_BASE_DIR``). A
    directory is described as ``{session_id, path, relative_path, created_time, modified_time,
    file_count, size_bytes, state}``: times in seconds since the epoch, ``modified_time`` that of the
    newest change in the tree, ``state`` one of ``live``, ``expired`` (the session is forgotten, its
    directory is kept) and ``bare`` (no session has this directory). Sessions that the service knows have
    ``title``, ``last_activity`` and ``message_count`` as well.

    A session that is live is never touched. While a service runs it makes the changes itself.
    """

    def __init__(self, base: str | os.PathLike[str] | None = None, progress: Progress = unseen) -> None:
        """:raises StorageUnavailable: when there is no such directory."""
        self._shown = Path(base) if base is not None else Settings.from_env().sessions_base_dir
        self._progress = progress
        self.state = StateDir.find(self._shown)

    # Looking

    def list_session_directories(self) -> list[dict[str, Any]]:
        """All directories, the one that was changed last first.

        :raises StorageUnavailable: when the base directory or the database cannot be read.
        """
        rows = self._rows()
        found = [self._describe(name, rows.get(name), seen) for name, seen in self._look()]
        return sorted(found, key=lambda one: (-one["modified_time"], one["session_id"]))

    def get_directory_info(self, session_id: str) -> dict[str, Any] | None:
        """One directory, with ``files``; None when there is none of this name.

        Each file is ``{name, path, absolute_path, size, created_time, modified_time}``; ``files_complete``
        is false when there are more than can be told.
        """
        if not is_session_id(session_id):
            return None
        [(_, seen)] = survey.surveys(self.state.base, [session_id])
        if isinstance(seen, NotFound):
            return None
        with self.store() as store:
            row = store.find_session(session_id) if store else None
        return self._in_detail(session_id, row, seen)

    def describe_session_directories(self) -> Iterator[dict[str, Any]]:
        """All directories, each as :meth:`get_directory_info` has it, one by one."""
        rows = self._rows()
        for name, seen in self._look():
            yield self._in_detail(name, rows.get(name), seen)

    @contextmanager
    def store(self) -> Iterator[Store | None]:
        """The rows, for reading; None when there is no database.

        :raises StorageUnavailable: when it cannot be read.
        """
        if not self.state.database.exists():
            yield None
            return
        database = Database.read_only(self.state.database, MIGRATIONS)
        try:
            with closing(database.reader):
                yield Store(database)
        except sqlite3.Error as error:
            raise StorageUnavailable(en=f"{self.state.database} cannot be read: {error}") from error

    def _rows(self) -> dict[str, Session]:
        with self.store() as store:
            return {row.id: row for row in store.all_sessions()} if store else {}

    def _look(self) -> Iterator[tuple[str, Survey | WorkspaceError | OSError]]:
        names = [entry.name for entry in self.state.on_disk()]
        for done, found in enumerate(survey.surveys(self.state.base, names), 1):
            self._progress("looking through directories", done, len(names))
            if not isinstance(found[1], NotFound):  # gone meanwhile
                yield found

    def _in_detail(
        self, session_id: str, row: Session | None, seen: Survey | WorkspaceError | OSError
    ) -> dict[str, Any]:
        files, complete = self._files(session_id)
        return {**self._describe(session_id, row, seen), "files": files, "files_complete": complete}

    def _files(self, session_id: str) -> tuple[list[dict[str, Any]], bool]:
        path = self.state.workspace(session_id)
        fd = os.open(self.state.base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with Workspace.open(fd, session_id) as workspace:
                return survey.files(workspace, str(path))
        except WorkspaceError:
            return [], False
        finally:
            os.close(fd)

    def _describe(
        self, session_id: str, row: Session | None, seen: Survey | WorkspaceError | OSError
    ) -> dict[str, Any]:
        error = {} if isinstance(seen, Survey) else {"error": str(seen)}
        if not isinstance(seen, Survey):
            seen = Survey(0.0, 0.0, 0, 0, empty=False, complete=False)
        known = {}
        if row is not None:
            names = ("title", "last_activity", "message_count")
            known = {name: getattr(row, name) for name in names}
        base = Path(self.state.base.name) if self._shown.is_absolute() else self._shown
        return {
            "session_id": session_id,
            "path": str(self.state.workspace(session_id)),
            "relative_path": str(base / session_id),
            "created_time": row.created if row else seen.created,
            "modified_time": seen.modified,
            "file_count": seen.files,
            "size_bytes": seen.bytes,
            "state": "bare" if row is None else "expired" if row.expired else "live",
            **known,
            **error,
        }

    # Cleaning

    def cleanup_empty_directories(self, *, dry_run: bool = False) -> int:
        """Remove the directories that hold nothing, of sessions that are not live: how many.

        ``dry_run`` only counts.
        """
        return len(self.clean(Rule("empty"), dry_run=dry_run).removed)

    def cleanup_old_directories(self, hours: float = 24, *, dry_run: bool = False) -> int:
        """Remove the directories that were not used for ``hours``, of sessions that are not live: how many.

        ``dry_run`` only counts.
        """
        return len(self.clean(Rule("old", hours), dry_run=dry_run).removed)

    def clean(self, rule: Rule, *, dry_run: bool = False) -> Cleaned:
        """Remove the directories that ``rule`` lets go; with ``dry_run`` only say which.

        :raises AlreadyRunning: when another tool is at work.
        :raises ControlError: when the running service does not do it.
        """
        rows, now = self._rows(), time.time()
        chosen, unreadable = [], []
        for name, seen in self._look():
            if not isinstance(seen, Survey):
                unreadable.append((name, str(seen)))
            elif not rule.reason_to_keep(rows.get(name), seen, now):
                chosen.append(name)
        failed = tuple(one for one in unreadable if not _is_live(rows.get(one[0])))
        if dry_run or not chosen:
            return Cleaned(removed=tuple(chosen), failed=failed)
        with ownership(self.state) as control:
            removing = self._ask(control, rule, chosen) if control else self._remove(rule, chosen)
            done = [*removing]
        return Cleaned(
            removed=tuple(name for part in done for name in part.removed),
            kept=tuple(pair for part in done for pair in part.kept),
            failed=failed + tuple(pair for part in done for pair in part.failed),
            by_service=control is not None,
        )

    def _ask(self, control: Control, rule: Rule, names: list[str]) -> Iterator[Cleaned]:
        for start in range(0, len(names), BATCH):
            yield control.clean(rule, names[start : start + BATCH])
            self._progress("removing", min(start + BATCH, len(names)), len(names))

    def _remove(self, rule: Rule, names: list[str]) -> Iterator[Cleaned]:
        """Remove directories with the lock held, looking at each again."""
        rows, gone = self._rows(), []
        for done, (name, seen) in enumerate(survey.surveys(self.state.base, names), 1):
            self._progress("removing", done, len(names))
            row = rows.get(name)
            try:
                if not isinstance(seen, Survey):
                    raise seen
                if why := rule.reason_to_keep(row, seen, time.time()):
                    yield Cleaned(kept=((name, why),))
                    continue
                self.state.discard(name)
            except (WorkspaceError, OSError) as error:
                yield Cleaned(failed=((name, str(error)),))
                continue
            gone.append(name)
            yield Cleaned(removed=(name,))
        empty_trash(self.state, self._progress)
        self._forget([name for name in gone if name in rows])

    def _forget(self, names: list[str]) -> None:
        """After the files: deleting rows takes room on a full disk."""
        if not names:
            return
        with closing(connect(self.state.database, MIGRATIONS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM sessions WHERE id = ? AND expired", [(n,) for n in names])
            connection.execute("COMMIT")


def _is_live(row: Session | None) -> bool:
    return row is not None and not row.expired


def empty_trash(state: StateDir, progress: Progress = unseen) -> list[str]:
    """Remove what was thrown away; what could not be removed, and why. With the lock held."""
    stuck = []
    fd = os.open(state.trash, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = os.listdir(fd)
        for done, name in enumerate(names, 1):
            removal = remove_tree(fd, name)
            if not removal.done:
                stuck.append(f"{name}: {removal.why}")
            progress("emptying the trash", done, len(names))
    finally:
        os.close(fd)
    return stuck
