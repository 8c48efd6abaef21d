"""SQLite on disk: one connection that writes, in a thread of its own, and one that reads.

Writes are grouped: the thread takes everything that waits, runs it in one transaction and commits
once, so a commit's fsync is shared by all who wait for it, and nobody waits for a timer. One
connection writes and the other is opened read-only, since SQLite up to 3.51.2 can corrupt a
write-ahead log that two connections checkpoint.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field, frozen

from qchat.errors import QchatError, StorageFull, StorageUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
MAX_GROUP = 256


def connect(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open for writing and bring the schema up to date, one migration a version, each all or nothing.

    :raises StorageUnavailable: for a database that a newer version wrote, or that is none.
    """
    path.touch(mode=0o600)  # its companions get the same mode
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        # A new database is made with a rollback journal: EXTRA sees that a power cut does not bring it back.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StorageUnavailable(
                en=f"{path} has schema version {version}, this release knows {len(migrations)}: upgrade qchat"
            )
        for number, script in enumerate(migrations[version:], version + 1):
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
    except sqlite3.Error as error:
        connection.close()
        raise _storage_error(error, path) from error
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open for reading only; the writing connection must have been opened before."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)


def transaction(connection: sqlite3.Connection, works: Sequence[Work[Any]]) -> list[Any]:
    """Run ``works`` in one transaction; one that fails is undone alone and gives its exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        results: list[Any] = []
        for work in works:
            connection.execute("SAVEPOINT work")
            try:
                results.append(work(connection))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it is for whoever asked
                connection.execute("ROLLBACK TO work")
                results.append(error)
            connection.execute("RELEASE work")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def _storage_error(error: sqlite3.Error, path: Path) -> QchatError:
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return StorageFull()
    return StorageUnavailable(en=f"the database {path} cannot be used: {error}")


@frozen
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]


@define(eq=False)
class Database:
    """The database of a running service."""

    path: Path
    migrations: Sequence[str]
    reader: sqlite3.Connection = field(init=False)
    """Read-only, for the event loop's thread: short queries by key. Never hold a cursor across an await."""
    _writer: sqlite3.Connection = field(init=False)
    _jobs: "queue.SimpleQueue[_Job | None]" = field(init=False, factory=queue.SimpleQueue)
    _thread: threading.Thread = field(init=False)
    on_full: Callable[[], bool] = field(default=lambda: False)
    """Called when the disk is full; true when it made room, and the transaction is worth repeating."""
    on_commit: Callable[[float], None] = field(default=lambda _: None)
    """Told how many seconds a transaction took; by the thread that writes."""

    @classmethod
    def read_only(cls, path: Path, migrations: Sequence[str]) -> "Database":
        """For looking only, beside a running service or without one: just ``reader`` is there.

        :raises StorageUnavailable: for a database that cannot be read, or has another version's schema.
        """
        database = cls(path, migrations)
        try:
            database.reader = connect_read_only(path)
        except sqlite3.Error as error:
            raise _storage_error(error, path) from error
        try:
            (version,) = database.reader.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            database.reader.close()
            raise _storage_error(error, path) from error
        if version != len(migrations):
            database.reader.close()
            raise StorageUnavailable(
                en=f"{path} has schema version {version}, this release reads {len(migrations)}:"
                " use the qchat-admin of the server's release; a newer server upgrades it when it starts"
            )
        return database

    def open(self) -> None:
        self._writer = connect(self.path, self.migrations)
        self.reader = connect_read_only(self.path)
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Return when all that waits is committed."""
        self._jobs.put(None)
        self._thread.join()
        self.reader.close()
        self._writer.close()

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction; when this returns, it is committed and synced.

        :raises StorageFull: when the disk is full; nothing was changed.
        :raises StorageUnavailable: when the database cannot be written.
        """
        done = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, done))
        # Whoever stops waiting does not undo the work: it is done all the same.
        result: T = await asyncio.shield(done)
        return result

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            last = False
            while len(group) < MAX_GROUP and not self._jobs.empty():
                if (job := self._jobs.get()) is None:
                    last = True
                    break
                group.append(job)
            begun = time.perf_counter()
            results = self._commit([job.work for job in group])
            self.on_commit(time.perf_counter() - begun)
            self._deliver(group, results)
            if last:
                return

    def _commit(self, works: list[Work[Any]]) -> list[Any]:
        try:
            try:
                return transaction(self._writer, works)
            except sqlite3.OperationalError as error:
                if isinstance(_storage_error(error, self.path), StorageFull) and self.on_full():
                    return transaction(self._writer, works)
                raise
        except sqlite3.Error as error:
            return [_storage_error(error, self.path)] * len(works)
        except Exception as error:  # noqa: BLE001  # a mistake of ours must not end the thread that all others need
            return [error] * len(works)

    @staticmethod
    def _deliver(group: list[_Job], results: list[Any]) -> None:
        def settle() -> None:
            for job, result in zip(group, results, strict=True):
                if job.done.done():
                    continue
                if isinstance(result, Exception):
                    job.done.set_exception(result)
                else:
                    job.done.set_result(result)

        group[0].done.get_loop().call_soon_threadsafe(settle)
