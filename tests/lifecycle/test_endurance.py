"""A service that runs for long: its log of the database, memory and descriptors stay bounded."""

import asyncio
import hashlib
import os
import time
from pathlib import Path

import aiohttp
from attrs import define, field

from tests.harness import ROUNDS, Client, answer, environment, frames, server

API = "/api/v1"
SECONDS = 5 if ROUNDS == 1 else 36 * ROUNDS
WORKERS = 10
PIECES = 200
"""Of a turn, each 10 ms after the other: with all workers about 1,000 events a second."""


@define
class Seen:
    """The largest and the last of what was looked at, in bytes and numbers."""

    wal: int = 0
    memory: list[int] = field(factory=list)
    descriptors: list[int] = field(factory=list)
    turns: int = 0
    events: int = 0

    def look(self, pid: int, database: Path) -> None:
        self.wal = max(self.wal, database.with_name(database.name + "-wal").stat().st_size)
        resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
        self.memory.append(int(resident) * os.sysconf("SC_PAGE_SIZE"))
        self.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))


async def replay_slowly(client: Client, url: str) -> None:
    """Read a turn again, a frame at a time."""
    async with client.http.get(client.url + url) as response:
        async for _ in frames(response):
            await asyncio.sleep(0.002)


async def work(client: Client, until: float, seen: Seen) -> None:
    """Turn after turn in one session, each read live, and read again while the next one runs."""
    session = await client.session()
    replay = None
    while time.monotonic() < until:
        turn = await client.turn(session, f"flood {10 * PIECES} 0.01")
        found = await client.events(turn["events_url"])
        assert found[-1].data is not None
        assert (
            found[-1].data["sha256"] == hashlib.sha256(await output(client, turn["output_url"])).hexdigest()
        )
        assert len(answer(found)) > 9 * PIECES
        seen.turns += 1
        seen.events += len(found)
        if replay:
            await replay
        replay = asyncio.create_task(replay_slowly(client, turn["events_url"]))
    if replay:
        await replay


async def output(client: Client, url: str) -> bytes:
    async with client.http.get(client.url + url) as response:
        return await response.read()


async def test_endurance(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With 1,000 events a second and slow replays, the write-ahead log stays below 16 MiB, memory below
    400 MiB, and as many descriptors are open at the end as at the beginning."""
    base, seen = tmp_path / "sessions", Seen()
    async with server(environment(base), tmp_path / "log") as running:
        client = Client(http, running.url)
        until = time.monotonic() + SECONDS
        seen.look(running.process.pid, base / ".qchat" / "qchat.db")
        workers = [asyncio.create_task(work(client, until, seen)) for _ in range(WORKERS)]
        while not all(worker.done() for worker in workers):
            await asyncio.wait(workers, timeout=1)
            seen.look(running.process.pid, base / ".qchat" / "qchat.db")
        await asyncio.gather(*workers)
        await http.close()
        async with asyncio.timeout(10):
            while len(os.listdir(f"/proc/{running.process.pid}/fd")) > seen.descriptors[0] + 2:
                await asyncio.sleep(0.1)
    mib = 1024**2
    print(
        f"{seen.turns} turns, {seen.events} events in {SECONDS} s; largest log {seen.wal / mib:.1f} MiB;"
        f" memory {seen.memory[len(seen.memory) // 5] / mib:.0f}, at the end {seen.memory[-1] / mib:.0f} MiB;"
        f" descriptors up to {max(seen.descriptors)}"
    )
    assert seen.wal < 16 * mib
    assert max(seen.memory) < 400 * mib
