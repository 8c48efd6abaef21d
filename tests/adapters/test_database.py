"""SQLite on disk: groups, failures, upgrades."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from qchat.adapters.database import Database, Work, connect, transaction
from qchat.adapters.schema import MIGRATIONS
from qchat.errors import Conflict, StorageUnavailable

TABLE = ("CREATE TABLE numbers (value INTEGER PRIMARY KEY)",)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(tmp_path / "db", TABLE)
    found.open()
    return found


def insert(value: int) -> Work[int]:
    return lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (value,)).rowcount


async def test_writes_are_committed(database: Database) -> None:
    """What a write has returned from is there for another process, in order and all of it."""
    await asyncio.gather(*(database.write(insert(value)) for value in range(500)))
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT count(*), max(value) FROM numbers").fetchone() == (500, 499)
    other.close()
    database.close()


async def test_one_failure_in_a_group(database: Database) -> None:
    """A write that fails undoes itself alone, and its caller alone hears of it."""

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (1000)")
        raise Conflict()

    works = [insert(1), fail, insert(2)]
    found = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
    assert [type(one) for one in found] == [int, Conflict, int]
    assert database.reader.execute("SELECT value FROM numbers ORDER BY value").fetchall() == [(1,), (2,)]
    database.close()


async def test_cancelled_callers(database: Database) -> None:
    """A caller that stops waiting does not undo the write, and harms no other."""
    tasks = [asyncio.create_task(database.write(insert(value))) for value in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.write(insert(999))
    assert database.reader.execute("SELECT count(*) FROM numbers").fetchone() == (51,)
    database.close()


def test_upgrade_from_every_version(tmp_path: Path) -> None:
    """A database of each earlier version is brought to today's schema, with its rows."""
    steps = (
        "CREATE TABLE a (x); INSERT INTO a VALUES (1)",
        "ALTER TABLE a ADD COLUMN y DEFAULT 7",
        *MIGRATIONS,
    )
    for version in range(len(steps) + 1):
        path = tmp_path / f"{version}.db"
        connect(path, steps[:version]).close()
        upgraded = connect(path, steps)
        assert upgraded.execute("SELECT x, y FROM a").fetchall() == [(1, 7)]
        assert upgraded.execute("PRAGMA user_version").fetchone() == (len(steps),)
        upgraded.close()


def test_upgrade_is_all_or_nothing(tmp_path: Path) -> None:
    """A migration that fails leaves the database at the version before it."""
    path = tmp_path / "db"
    connect(path, TABLE).close()
    with pytest.raises(StorageUnavailable):
        connect(path, (*TABLE, "CREATE TABLE half (x); CREATE TABLE numbers (x)"))
    again = connect(path, TABLE)
    assert again.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchone() is None
    again.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A database that a newer release wrote is left alone."""
    connect(tmp_path / "db", (*TABLE, "CREATE TABLE later (x)")).close()
    with pytest.raises(StorageUnavailable, match="upgrade qchat"):
        connect(tmp_path / "db", TABLE)


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is a clear error."""
    (tmp_path / "db").write_bytes(b"x" * 4096)
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        connect(tmp_path / "db", TABLE)


def test_transaction_survives_a_failure(tmp_path: Path) -> None:
    """After a failed transaction the connection works as before."""
    connection = connect(tmp_path / "db", TABLE)
    with pytest.raises(sqlite3.Error):
        transaction(connection, [lambda c: c.execute("INSERT INTO nothing VALUES (1)")])
    assert transaction(connection, [insert(1)]) == [1]
    connection.close()


async def test_the_log_is_bounded(database: Database) -> None:
    """While rows are written and read all the time the write-ahead log stays small."""
    largest = 0
    for start in range(0, 20_000, 500):
        await asyncio.gather(*(database.write(insert(value)) for value in range(start, start + 500)))
        database.reader.execute("SELECT value FROM numbers LIMIT 100").fetchall()
        largest = max(largest, database.path.with_name("db-wal").stat().st_size)
    assert largest < 16 * 1024**2
    database.close()
