"""Backup of a running server, and a server on what was restored from it."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from attrs import define, field

from tests.admin.base import admin_beside
from tests.harness import ROUNDS, Client, environment, server

API = "/api/v1"


@define(eq=False)
class Load:
    """Clients that talk, and delete sessions in between; what each was told is written down."""

    client: Client
    base: Path
    answered: dict[tuple[str, int], str] = field(factory=dict)
    """(session, turn) to the prompt, once the answer was there."""
    deleted: set[str] = field(factory=set)
    """Sessions whose deletion was asked for."""

    async def talk(self, seed: int) -> None:
        chance = random.Random(seed)
        for number in itertools.count():
            session = await self.client.session()
            for turn in range(1, chance.randint(1, 4)):
                prompt = f"say {seed} {number} {turn} " + "word " * chance.randint(0, 2000)
                body = {"message": prompt, "session_id": session}
                await self.client.json("POST", f"{API}/chat", json=body, status=200)
                self.answered[session, turn] = prompt.removeprefix("say ").strip()
                (self.base / session / f"file-{turn}").write_text(prompt)
            if chance.random() < 0.3:
                self.deleted.add(session)
                await self.client.json("DELETE", f"{API}/sessions/{session}", status=200)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.talk(seed)) for seed in range(6)]
        yield
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result

    async def reach(self, count: int) -> None:
        """Wait until that many turns have been answered."""
        async with asyncio.timeout(60):
            while len(self.answered) < count:
                await asyncio.sleep(0.01)


async def test_hot_backup(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """All that was answered before a backup began is in it, and served, while clients talk and delete."""
    base = tmp_path / "sessions"
    backups: list[tuple[Path, dict[tuple[str, int], str]]] = []
    async with server(environment(base), tmp_path / "log") as running:
        load = Load(Client(http, running.url), base)
        async with load.running():
            for number in range(2 * ROUNDS):
                await load.reach(30 * (number + 1))
                before = dict(load.answered)
                archive = tmp_path / f"backup-{number}"
                told = await admin_beside(base, "backup", str(archive))
                assert (told.code, told.err) == (0, "")
                backups.append((archive, before))
    for archive, before in backups:
        restored = tmp_path / f"restored-{archive.name}"
        assert (await admin_beside(restored, "restore", str(archive))).code == 0
        told = await admin_beside(restored, "check")
        assert told.code == 0, told.out
        async with server(environment(restored), tmp_path / "log") as running:
            wanted = {turn: text for turn, text in before.items() if turn[0] not in load.deleted}
            assert wanted
            await assert_served(Client(http, running.url), wanted)


async def assert_served(client: Client, wanted: dict[tuple[str, int], str]) -> None:
    """Every prompt and answer is in the history of its session."""
    for session in {session for session, _ in wanted}:
        path = f"{API}/sessions/{session}/messages"
        found = (await client.json("GET", path, status=200))["messages"]
        for (of, turn), text in wanted.items():
            if of == session:
                said = [one["content"].strip() for one in found if one["turn"] == turn]
                assert said == [f"say {text}", text]


async def test_a_restored_server_goes_on(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A restored session is talked to as if nothing had happened, and no turn of it runs again."""
    base, restored, archive = tmp_path / "sessions", tmp_path / "restored", tmp_path / "backup"
    async with server(environment(base), tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.turn(session, "say one", key="a")
        await client.ended(session, 1)
        await client.turn(session, "hang", key="b")
        await client.turn(session, "say three", key="c", on_busy="queue")
        assert (await admin_beside(base, "backup", str(archive))).code == 0
    assert (await admin_beside(restored, "restore", str(archive))).code == 0
    async with server(environment(restored), tmp_path / "log") as running:
        client = Client(http, running.url)
        turns = (await client.json("GET", f"{API}/sessions/{session}/turns", status=200))["turns"]
        assert [turn["state"] for turn in turns] == ["completed", "interrupted", "interrupted"]
        assert (await client.turn(session, "say three", key="c"))["turn"] == 3
        assert (await client.turn(session, "say four", key="d"))["turn"] == 4
        assert (await client.ended(session, 4))["reason"] == "completed"


async def test_a_lost_database(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Without its database a server takes the directories over; turns begin anew, old ones are set aside."""
    base = tmp_path / "sessions"
    async with server(environment(base), tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.turn(session, "say one")
        await client.ended(session, 1)
        (base / session / "file").write_text("kept")
    for path in base.glob(".qchat/qchat.db*"):
        path.unlink()
    async with server(environment(base), tmp_path / "log") as running:
        client = Client(http, running.url)
        assert (await client.turn(session, "say two"))["turn"] == 1
        assert (await client.ended(session, 1))["reason"] == "completed"
        assert await load_answer(client, session) == "two"
    assert (base / session / "file").read_text() == "kept"
    assert len(list((base / ".qchat/lost").rglob("1.out"))) == 1
    assert (await admin_beside(base, "check")).code == 0


async def load_answer(client: Client, session: str) -> str:
    found = await client.json("GET", f"{API}/sessions/{session}/messages", status=200)
    return str(found["messages"][-1]["content"])
