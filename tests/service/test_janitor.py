"""What expires, what does not, and what is left on disk."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from qchat.context import Context
from tests.conftest import StartService
from tests.harness import Client, until

API = "/api/v1"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("qchat.service.idle.IdleClock.__attrs_post_init__", lambda self: start(self, clock))
    return clock


def start(idle: Any, clock: Clock) -> None:
    idle.monotonic = clock
    idle._last_sweep = clock()


async def swept(ctx: Context, clock: Clock, seconds: float) -> list[str]:
    clock.offset += seconds
    return await ctx.janitor.sweep()


async def test_expires_idle_sessions(start_service: StartService, clock: Clock) -> None:
    """A session that was idle for too long is gone, and so is its directory; a fresh one stays."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    old = await client.session()
    assert await swept(ctx, clock, 59) == []
    fresh = await client.session()
    assert await swept(ctx, clock, 2) == [old]
    await client.json("GET", f"{API}/sessions/{old}", status=404)
    assert not ctx.state.workspace(old).exists()
    await client.json("GET", f"{API}/sessions/{fresh}", status=200)
    await until(lambda: not list(ctx.state.trash.iterdir()))


async def test_activity_keeps_alive(start_service: StartService, clock: Clock) -> None:
    """A prompt, the end of a turn and an uploaded file keep a session alive; reading does not."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    talker, reader, uploader = [await client.session() for _ in range(3)]
    clock.offset += 50
    await client.json("POST", f"{API}/chat", json={"message": "say x", "session_id": talker}, status=200)
    await client.json("GET", f"{API}/sessions/{reader}/files", status=200)
    await client.json("PUT", f"{API}/sessions/{uploader}/files/f", data=b"x", status=201)
    assert await swept(ctx, clock, 20) == [reader]


async def test_a_running_turn_prevents_expiry(start_service: StartService, clock: Clock) -> None:
    """A session does not expire while a turn of it runs, however long that takes."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    session = await client.session()
    turn = await client.turn(session, "hang")
    assert await swept(ctx, clock, 100_000) == []
    await client.json("POST", turn["cancel_url"], status=200)
    assert await swept(ctx, clock, 50) == []
    assert await swept(ctx, clock, 20) == [session]


async def test_an_open_stream_prevents_expiry_for_a_day(start_service: StartService, clock: Clock) -> None:
    """A session with an open stream stays for 24 hours of idle time, and then its stream is told."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    session = await client.session()
    reading = asyncio.create_task(client.events(f"{API}/sessions/{session}/events"))
    await until(lambda: ctx.feed.watched() == {session})
    assert await swept(ctx, clock, 23 * 3600) == []
    assert await swept(ctx, clock, 2 * 3600) == [session]
    assert (await reading)[-1].type == "session_deleted"


async def test_pinned_and_own_time(start_service: StartService, clock: Clock) -> None:
    """A pinned session never expires, and one with a time of its own does so after that time."""
    client, ctx = await start_service(SESSION_EXPIRY="1000")
    pinned, short, long = [await client.session() for _ in range(3)]
    await client.json("PATCH", f"{API}/sessions/{pinned}", json={"pinned": True}, status=200)
    await client.json("PATCH", f"{API}/sessions/{short}", json={"expires_in": 60}, status=200)
    await client.json("PATCH", f"{API}/sessions/{long}", json={"expires_in": 100_000}, status=200)
    assert await swept(ctx, clock, 61) == [short]
    assert await swept(ctx, clock, 5000) == []
    assert await swept(ctx, clock, 100_000) == [long]


@pytest.mark.parametrize("jump", [86_400, -86_400])
async def test_the_wall_clock_may_jump(
    start_service: StartService, clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A jump of the wall clock by a day deletes no live session, and ids keep rising."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    session = await client.session()
    first = await client.turn(session, "say a")
    await client.ended(session, 1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert await swept(ctx, clock, 30) == []
    second = await client.turn(session, "say b")
    ended = await client.ended(session, 2)
    assert (first["turn"], second["turn"]) == (1, 2)
    assert ended["seconds"] >= 0
    assert await swept(ctx, clock, 30) == []


async def test_down_time_does_not_count(start_service: StartService, clock: Clock) -> None:
    """Idle time is kept over a restart, and the time in between counts nothing."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    session = await client.session()
    await swept(ctx, clock, 40)
    row = ctx.store.session(session)
    assert 40 <= row.idle < 50


async def test_cleanup_off(start_service: StartService, clock: Clock, tmp_path: Path) -> None:
    """With AUTO_CLEANUP_SESSIONS off an expired session is forgotten while its directory stays, also
    after a restart."""
    client, ctx = await start_service(SESSION_EXPIRY="60", AUTO_CLEANUP_SESSIONS="false")
    session = await client.session()
    (ctx.state.workspace(session) / "kept").touch()
    assert await swept(ctx, clock, 61) == [session]
    await client.json("GET", f"{API}/sessions/{session}", status=404)
    assert (ctx.state.workspace(session) / "kept").exists()
    await ctx.sessions.adopt()
    await client.json("GET", f"{API}/sessions/{session}", status=404)
    assert (await client.json("GET", f"{API}/sessions"))["sessions"] == []


async def test_expiry_races_a_prompt(start_service: StartService, clock: Clock) -> None:
    """When a prompt and the sweep meet, either the session is gone and the prompt is 404, or it lives."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    for _ in range(20):
        session = await client.session()
        clock.offset += 61
        path = f"{client.url}{API}/sessions/{session}/turns"
        sweep = asyncio.create_task(ctx.janitor.sweep())
        async with client.http.post(path, json={"message": "say x"}) as response:
            accepted = response.status == 202
            assert response.status in (202, 404)
        expired = await sweep
        assert accepted != (session in expired)
        if accepted:
            assert (await client.ended(session, 1))["reason"] == "completed"
        assert ctx.state.workspace(session).exists() == accepted


async def test_cleanup_follows_no_link(start_service: StartService, clock: Clock, tmp_path: Path) -> None:
    """A link in a workspace costs the link, never what it points to."""
    client, ctx = await start_service(SESSION_EXPIRY="60")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    session = await client.session()
    (ctx.state.workspace(session) / "link").symlink_to(outside)
    await swept(ctx, clock, 61)
    await until(lambda: not list(ctx.state.trash.iterdir()))
    assert (outside / "precious").exists()


async def test_vanished_workspace(client: Client, start_service: StartService) -> None:
    """A session whose directory has vanished gets a new one with its next prompt."""
    session = await client.session()
    directory = Path((await client.json("GET", f"{API}/sessions/{session}"))["absolute_work_directory"])
    directory.rmdir()
    found = await client.json("POST", f"{API}/chat", json={"message": "say x", "session_id": session})
    assert found["response"] == "x"
    assert directory.is_dir()


async def test_vanished_base_directory(client: Client) -> None:
    """When the base directory vanishes requests get a clear 503, and it recovers when it is back."""
    session = await client.session()
    base = Path((await client.json("GET", f"{API}/sessions/{session}"))["absolute_work_directory"]).parent
    away = base.with_name("away")
    base.rename(away)
    refused = await client.json("POST", f"{API}/sessions", status=503)
    assert refused["code"] == "STORAGE_UNAVAILABLE"
    await client.json("GET", f"{API}/sessions/{session}/files", status=503)
    away.rename(base)
    await client.session()
