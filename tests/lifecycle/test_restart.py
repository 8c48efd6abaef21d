"""What survives the service's end: everything that a client was told, and no process."""

import asyncio
import json
import os
import random
import re
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from tests.harness import (
    ROUNDS,
    Client,
    Frame,
    Server,
    alive,
    answer,
    bash,
    environment,
    frames,
    read,
    server,
    until,
)

API = "/api/v1"
KILLS = 3 if ROUNDS == 1 else 5 * ROUNDS


async def read_some(client: Client, url: str, count: int, after: str = "") -> list[Frame]:
    """The first ``count`` frames of a stream, then leave."""
    found: list[Frame] = []
    async with client.http.get(
        client.url + url, headers={"Last-Event-ID": after} if after else {}
    ) as response:
        if response.status == 204:
            return found
        assert response.status == 200, await response.text()
        async for frame in frames(response):
            found.append(frame)
            if len(found) == count:
                break
    return found


async def test_kill_loses_nothing(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """After kill -9 in the middle of answers: every id a client saw is in the log, the turns are
    interrupted, no agent is alive, nothing runs again, and the stream continues at the byte."""
    rng = random.Random(7)
    env = environment(tmp_path / "sessions")
    for round_ in range(KILLS):
        pids = tmp_path / f"pids{round_}"
        running = await Server.start(env, tmp_path / "log")
        client = Client(http, running.url)
        session = await client.session()
        spawn = bash(f"setsid sleep 300 >/dev/null 2>&1 & echo $! $PPID >> {pids}")
        turn = await client.turn(session, f"{spawn}\nflood 100000 0.002", key="k")
        seen = await read_some(client, turn["events_url"], 4 + rng.randrange(60))
        running.kill()
        await running.wait()

        async with server(env, tmp_path / "log") as again:
            client = Client(http, again.url)
            last_id = [frame.id for frame in seen if frame.id][-1]
            rest = await client.events(turn["events_url"], headers={"Last-Event-ID": last_id})
            whole = await client.events(turn["events_url"])
            assert answer(seen) + answer(rest) == answer(whole)
            assert rest[-1].data is not None
            assert (rest[-1].type, rest[-1].data["code"]) == ("error", "INTERRUPTED")
            for pid in map(int, pids.read_text().split()):
                assert not alive(pid)
            repeated = await client.turn(session, f"{spawn}\nflood 100000 0.002", key="k")
            assert (repeated["turn"], repeated["state"]) == (1, "interrupted")
            assert len(pids.read_text().splitlines()) == 1
            assert len((await client.json("GET", f"{API}/sessions/{session}/turns"))["turns"]) == 1


async def test_kill_of_the_whole_group(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Agents end with the service also when its warden is killed along with it."""
    env = environment(tmp_path / "sessions")
    running = await Server.start(env, tmp_path / "log")
    client = Client(http, running.url)
    session = await client.session()
    await client.turn(session, bash(f"setsid sleep 300 & echo $! $PPID > {tmp_path}/pids; sleep 300"))
    pids = (await until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())).split()
    warden = next(
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if f" (qchat-warden) S {running.process.pid} " in read(path)
    )
    os.kill(warden, signal.SIGKILL)
    running.kill()
    await running.wait()
    async with server(env, tmp_path / "log"):
        assert not any(alive(int(pid)) for pid in pids)


async def test_queued_turns_run_after_a_kill(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """A queued turn has certainly not run before the kill, and runs once after the restart."""
    env = environment(tmp_path / "sessions")
    running = await Server.start(env, tmp_path / "log")
    client = Client(http, running.url)
    session = await client.session()
    await client.turn(session, "hang")
    queued = await client.turn(session, bash(f"echo ran >> {tmp_path}/runs") + "\nsay done", on_busy="queue")
    running.kill()
    await running.wait()
    async with server(env, tmp_path / "log") as again:
        client = Client(http, again.url)
        assert answer(await client.events(queued["events_url"])).endswith("done")
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_acknowledged_sessions_survive(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Sessions that were acknowledged before a kill under load are all there afterwards."""
    env = environment(tmp_path / "sessions")
    known: list[str] = []
    for _ in range(KILLS):
        running = await Server.start(env, tmp_path / "log")
        client = Client(http, running.url)

        async def create(client: Client = client) -> None:
            while True:
                known.append(await client.session())

        tasks = [asyncio.create_task(create()) for _ in range(8)]
        enough = len(known) + 30
        await until(lambda enough=enough: len(known) > enough)
        running.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
        await running.wait()
    async with server(env, tmp_path / "log") as again:
        client = Client(http, again.url)
        for session in known:
            await client.json("GET", f"{API}/sessions/{session}", status=200)


async def test_second_server_is_refused(tmp_path: Path) -> None:
    """A second service on the same directory does not start, and names the first."""
    env = environment(tmp_path / "sessions")
    async with server(env, tmp_path / "log") as running:
        with pytest.raises((RuntimeError, IndexError)):
            await Server.start(env, tmp_path / "second")
        said = (tmp_path / "second").read_text()
        assert f"is in use by process {running.process.pid}" in said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_shutdown(http: aiohttp.ClientSession, tmp_path: Path, name: str) -> None:
    """With 200 streams open and 10 turns running a signal ends the service within ten seconds: streams
    are told to come back, turns are ended, and no process is left."""
    env = environment(tmp_path / "sessions", QCHAT_SHUTDOWN_GRACE="1")
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        sessions = [await client.session() for _ in range(10)]
        turns = [
            await client.turn(s, f"say a\n{bash(f'echo $$ >> {tmp_path}/pids; sleep 300')}") for s in sessions
        ]
        streams = [
            asyncio.create_task(client.events(f"{API}/sessions/{s}/events"))
            for s in sessions
            for _ in range(20)
        ]
        await until(lambda: len(read(tmp_path / "pids").split()) == 10)
        health = await client.json("GET", "/health")
        while health["open_streams"] < 200:
            health = await client.json("GET", "/health")
        began = time.monotonic()
        running.process.send_signal(getattr(signal, name))
        found = await asyncio.gather(*streams)
        assert {stream[-1].type for stream in found} == {"reconnect"}
        assert await running.wait() == 0
        assert time.monotonic() - began < 10
    assert not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    async with server(env, tmp_path / "log") as again:
        client = Client(http, again.url)
        for turn in turns:
            shown = await client.json("GET", f"{API}/sessions/{turn['session_id']}/turns/1")
            assert shown["state"] == "interrupted"


async def test_grace(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """A turn that ends within the time of grace completes, and who waits for its answer gets it."""
    env = environment(tmp_path / "sessions")
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        body = {"message": f"{bash(f'echo > {tmp_path}/begun')}\nsleep 0.5\nsay whole"}
        waiting = asyncio.create_task(client.json("POST", f"{API}/chat", json=body, status=200))
        await until((tmp_path / "begun").exists)
        running.terminate()
        assert (await waiting)["response"].endswith("whole")
        assert await running.wait() == 0


async def test_adopts_directories(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Directories that are named by a UUID become sessions, their files included."""
    name = "550e8400-e29b-41d4-a716-446655440000"
    (tmp_path / "sessions" / name).mkdir(parents=True)
    (tmp_path / "sessions" / name / "example.py").write_text("print()")
    (tmp_path / "sessions" / "not-a-session").mkdir()
    async with server(environment(tmp_path / "sessions"), tmp_path / "log") as running:
        client = Client(http, running.url)
        listed = await client.json("GET", f"{API}/sessions")
        assert [session["session_id"] for session in listed["sessions"]] == [name]
        files = await client.json("GET", f"{API}/sessions/{name}/files")
        assert [file["path"] for file in files["files"]] == ["example.py"]


async def test_says_where_it_is(tmp_path: Path) -> None:
    """The first three lines say where it listens, which agent it uses, and where the sessions are."""
    async with server(environment(tmp_path / "sessions"), tmp_path / "log") as running:
        assert re.fullmatch(r"Listening on +http://127\.0\.0\.1:\d+", running.lines[0])
        assert running.lines[1].startswith("Agent")
        assert running.lines[2].endswith(str(tmp_path / "sessions"))


async def test_log_file(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The documented grep finds sessions made and deleted in the log file; no prompt or answer is there."""
    env = environment(tmp_path / "sessions", QCHAT_LOG_FILE=str(tmp_path / "app.log"))
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.json(
            "POST", f"{API}/chat", json={"message": "say canary", "session_id": session}, status=200
        )
        await client.json("DELETE", f"{API}/sessions/{session}", status=200)
    text = (tmp_path / "app.log").read_text()
    found = [line for line in text.splitlines() if re.search("(创建新会话|删除会话|清理)", line)]
    assert [json.loads(line)["session_id"] for line in found] == [session, session]
    assert "canary" not in text + (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "99999", "PORT='99999' is not allowed: it takes a whole number from 0 to 65535"),
        ("SESSION_EXPIRY", "5", "SESSION_EXPIRY='5' is not allowed: it takes a number of at least 60"),
        ("SESSION_EXPIRY", "nan", "SESSION_EXPIRY='nan' is not allowed"),
        ("QCHAT_LANG", "fr", "QCHAT_LANG='fr' is not allowed: it takes one of zh, en"),
        (
            "AUTO_CLEANUP_SESSIONS",
            "maybe",
            "AUTO_CLEANUP_SESSIONS='maybe' is not allowed: it takes true or false",
        ),
        ("HOST", "0.0.0.0", "HOST='0.0.0.0' is not allowed"),
    ],
)
async def test_bad_settings(tmp_path: Path, variable: str, value: str, said: str) -> None:
    """A bad value stops the start with one line naming the variable, the value and what is allowed."""
    with pytest.raises((RuntimeError, IndexError)):
        await Server.start(environment(tmp_path / "sessions", **{variable: value}), tmp_path / "log")
    line = (tmp_path / "log").read_text()
    assert said in line
    assert len(line.splitlines()) == 1
