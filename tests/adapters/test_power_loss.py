"""Power that fails: nothing that was acknowledged is lost, and the database stays whole."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from qchat.adapters import database
from qchat.adapters.database import Database, Work
from tests.power import Disk, noted_disk

TABLE = ("CREATE TABLE rows (value INTEGER PRIMARY KEY, filler BLOB, changed INTEGER DEFAULT 0)",)
WRITES = 600
CUTS = 150


def insert(value: int) -> Work[None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO rows (value, filler) VALUES (?, randomblob(3000))", (value,))
        connection.execute("UPDATE rows SET changed = changed + 1 WHERE value = ?", (value // 2,))

    return work


async def written(path: Path) -> tuple[Disk, dict[int, int]]:
    """A disk that rows were written to, and at which note each of them had been acknowledged."""
    acknowledged: dict[int, int] = {}
    with noted_disk() as disk:
        rows = Database(path, TABLE)
        rows.open()

        async def write(value: int) -> None:
            await rows.write(insert(value))
            acknowledged[value] = len(disk.notes)

        for start in range(0, WRITES, 4):
            await asyncio.gather(*(write(value) for value in range(start, start + 4)))
        rows.close()
    return disk, acknowledged


def lost(disk: Disk, acknowledged: dict[int, int], instant: int, seed: int, place: Path) -> set[int]:
    """Which acknowledged rows are not there after a power cut; the database must be whole."""
    place.mkdir()
    for path, content in disk.after_power_cut(instant, random.Random(seed)).items():
        (place / path.name).write_bytes(content)
    connection = sqlite3.connect(place / "db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'rows'").fetchone()
        found = {value for (value,) in connection.execute("SELECT value FROM rows")} if known else set()
    finally:
        connection.close()
    return {value for value, noted in acknowledged.items() if noted <= instant} - found


async def test_power_loss(tmp_path: Path, rounds: Callable[[int], int]) -> None:
    """Whatever a disk drops of what was not synced, at any instant, every acknowledged row is there."""
    disk, acknowledged = await written(tmp_path / "db")
    instants = random.Random(1)
    for number in range(rounds(CUTS)):
        instant = instants.randrange(1, len(disk.notes) + 1)
        assert not lost(disk, acknowledged, instant, number, tmp_path / str(number)), (instant, number)


async def test_power_loss_without_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same disk loses acknowledged rows of a service that did not sync: the test can tell."""
    connect = database.connect

    def carelessly(path: Path, migrations: tuple[str, ...]) -> sqlite3.Connection:
        connection = connect(path, migrations)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    monkeypatch.setattr(database, "connect", carelessly)
    disk, acknowledged = await written(tmp_path / "db")
    instants = [len(disk.notes) * part // 20 for part in range(1, 20)]
    assert any(lost(disk, acknowledged, n, n, tmp_path / str(n)) for n in instants)
