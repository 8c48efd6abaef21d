"""Limits that hold: a full disk, no descriptors, readers that stall, clients by the hundred."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import StartService
from tests.harness import Client, answer, bash, environment, server, until

API = "/api/v1"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, for the base directory."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with open(path, "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError:
                break
        while True:
            try:
                file.write(b"x")
            except OSError:
                return


def fill_up(disk: Path, session: str) -> None:
    """Take all the room, and the service's reserve."""
    (disk / "sessions" / ".qchat" / "ballast").unlink(missing_ok=True)
    fill(disk / "sessions" / session / "filler")


async def test_full_disk(http: aiohttp.ClientSession, small_disk: Path, tmp_path: Path) -> None:
    """On a full disk a prompt is 507, reading and deleting work, and it recovers without a restart."""
    async with server(environment(small_disk / "sessions"), tmp_path / "log") as running:
        client = Client(http, running.url)
        session, other = await client.session(), await client.session()
        await client.json(
            "POST", f"{API}/chat", json={"message": "say kept", "session_id": session}, status=200
        )
        workspace = Path((await client.json("GET", f"{API}/sessions/{other}"))["absolute_work_directory"])
        fill(workspace / "filler")
        (small_disk / "sessions" / ".qchat" / "ballast").unlink(missing_ok=True)
        fill(workspace / "filler2")
        for _ in range(3):
            refused = await client.json(
                "POST", f"{API}/chat", json={"message": "say x", "session_id": session}, status=507
            )
            assert refused["code"] == "STORAGE_FULL"
        refused = await client.json("PUT", f"{API}/sessions/{session}/files/f", data=b"x" * 5000, status=507)
        assert refused["code"] == "STORAGE_FULL"
        assert answer(await client.events(f"{API}/sessions/{session}/turns/1/events")) == "kept"
        await client.json("GET", f"{API}/sessions/{session}/files", status=200)
        await client.json("DELETE", f"{API}/sessions/{other}", status=200)

        async def works() -> bool:
            async with http.post(
                f"{running.url}{API}/chat", json={"message": "say y", "session_id": session}
            ) as response:
                return response.status == 200

        async with asyncio.timeout(20):
            while not await works():
                await asyncio.sleep(0.05)


async def test_disk_fills_in_the_middle(
    http: aiohttp.ClientSession, small_disk: Path, tmp_path: Path
) -> None:
    """A turn that meets a full disk ends with 507 and keeps what was written before."""
    async with server(environment(small_disk / "sessions"), tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        turn = await client.turn(session, "write 20000000")
        *found, last = await client.events(turn["events_url"])
        assert last.data is not None
        assert (last.data["reason"], last.data["code"]) == ("failed", "STORAGE_FULL")
        assert set(answer(found)) == {"x"}
        assert last.data["bytes"] > 1_000_000
        await client.json("DELETE", f"{API}/sessions/{session}", status=200)


async def test_a_full_disk_is_emptied_by_deleting_what_runs(
    http: aiohttp.ClientSession, small_disk: Path, tmp_path: Path
) -> None:
    """On a disk too full for any ending, deleting a session whose turns run and wait makes room."""
    async with server(environment(small_disk / "sessions"), tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.turn(session, "say a\nhang")
        await client.turn(session, "say b", on_busy="queue")
        fill_up(small_disk, session)
        await client.json("DELETE", f"{API}/sessions/{session}", status=200)
        await client.json("POST", f"{API}/chat", json={"message": "say y"}, status=200)


async def test_starts_on_a_full_disk(http: aiohttp.ClientSession, small_disk: Path, tmp_path: Path) -> None:
    """A service starts on a full disk, and marks the turn that a kill ended as soon as there is room."""
    env = environment(small_disk / "sessions")
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.turn(session, "say a\nhang")
        running.kill()
        await running.wait()
    fill_up(small_disk, session)
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        busy = {"message": "say b", "session_id": session}
        # Busy, or ended already, where the last page of the database's log had room for that much.
        assert (await client.json("POST", f"{API}/chat", json=busy))["http_status"] in (409, 507)
        os.unlink(small_disk / "sessions" / session / "filler")
        assert (await client.ended(session, 1))["reason"] == "interrupted"
        await client.json("POST", f"{API}/chat", json=busy, status=200)


async def test_few_descriptors(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With 64 descriptors and 100 clients some get 503, none an error of ours, and it recovers."""
    env = environment(tmp_path / "sessions")
    async with server(env, tmp_path / "log", ["prlimit", "--nofile=64:64"]) as running:
        client = Client(http, running.url)

        async def one() -> int:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as own:
                try:
                    async with own.post(
                        f"{running.url}{API}/chat", json={"message": "say x\nsleep 0.2"}
                    ) as response:
                        body = await response.json()
                        assert response.status in (200, 503), body
                        return response.status
                except aiohttp.ClientConnectionError:
                    return 0

        statuses = await asyncio.gather(*(one() for _ in range(100)))
        assert 200 in statuses
        found = await client.json("POST", f"{API}/chat", json={"message": "say y"}, status=200)
        assert found["response"] == "y"


async def test_a_stalled_reader_is_cut_alone(start_service: StartService) -> None:
    """A reader that takes nothing is cut, the others are not held up, and it can resume at the byte."""
    client, ctx = await start_service(QCHAT_STALL_TIMEOUT="1")
    session = await client.session()
    turn = await client.turn(session, "write 8000000")
    host, port = client.url.removeprefix("http://").split(":")
    stalled = []
    for _ in range(3):
        sock = socket.create_connection((host, int(port)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(f"GET {turn['events_url']} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        stalled.append(sock)
    whole = await client.events(turn["events_url"])
    assert len(answer(whole)) == 8_000_000
    await until(lambda: ctx.feed.streams == 0)
    for sock in stalled:
        sock.close()
    rest = await client.events(turn["events_url"], headers={"Last-Event-ID": whole[3].id})
    assert answer(whole[:4]) + answer(rest) == answer(whole)


async def test_a_hundred_readers(client: Client) -> None:
    """A hundred readers of one turn all get every byte."""
    session = await client.session()
    turn = await client.turn(session, "flood 20000 0.0005")
    found = await asyncio.gather(*(client.events(turn["events_url"]) for _ in range(100)))
    assert len({answer(stream) for stream in found}) == 1
    assert len(answer(found[0])) > 19_000


async def test_streams_are_limited(start_service: StartService) -> None:
    """Beyond the limit a stream is 503 with Retry-After; when one ends there is room again."""
    client, ctx = await start_service(QCHAT_MAX_STREAMS="1")
    session = await client.session()
    first = await client.http.get(client.url + f"{API}/sessions/{session}/events")
    refused = await client.json("GET", f"{API}/sessions/{session}/events", status=503)
    assert refused["code"] == "OVERLOADED"
    first.close()
    await until(lambda: ctx.feed.streams == 0)


async def test_leaving_leaks_nothing(start_service: StartService) -> None:
    """Streams that were opened and left leave no descriptor and no task behind, and the turn completes."""
    client, ctx = await start_service()
    session = await client.session()
    turn = await client.turn(session, "say x\nhang")
    before = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    for _ in range(50):
        response = await client.http.get(client.url + turn["events_url"])
        response.close()
    await until(lambda: ctx.feed.streams == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before[1])
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before[0] + 2)
    cancelled = await client.json("POST", turn["cancel_url"], status=200)
    assert cancelled["state"] == "cancelled"


async def test_heartbeat(start_service: StartService) -> None:
    """A silent stream says ping: as a named event on /events, as a comment on the drop-in stream."""
    client, _ = await start_service(QCHAT_HEARTBEAT="1", QCHAT_SHUTDOWN_GRACE="0")
    session = await client.session()
    async with client.http.get(client.url + f"{API}/sessions/{session}/events") as response:
        assert await response.content.readuntil(b"event: ping\ndata: {}\n\n")
    async with client.http.post(client.url + f"{API}/chat/stream", json={"message": "hang"}) as response:
        assert b": ping\n\n" in await response.content.readuntil(b": ping\n\n")


@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_any_bytes(client: Client, size: int) -> None:
    """What the CLI writes is kept byte for byte, binary included."""
    session = await client.session()
    script = f"import os; os.write(1, bytes(range(256)) * {size // 256 + 1} if {size} else b'')"
    prompt = "tool execute_bash " + json.dumps({"command": f'python3 -c "{script}"'})
    turn = await client.turn(session, prompt)
    await client.ended(session, 1)
    raw = await (await client.http.get(client.url + turn["output_url"])).read()
    if size:
        assert bytes(range(256)) * (size // 256 + 1) in raw
    async with client.http.get(client.url + turn["output_url"], headers={"Range": "bytes=2-5"}) as response:
        assert (response.status, await response.read()) == (206, raw[2:6])
    async with client.http.get(
        client.url + turn["output_url"], headers={"Range": f"bytes={len(raw)}-"}
    ) as response:
        assert (response.status, (await response.json())["code"]) == (416, "RANGE_NOT_SATISFIABLE")


async def test_quota_ends_the_turn(start_service: StartService) -> None:
    """A turn whose workspace outgrows the session's quota is ended, and nothing is deleted."""
    client, ctx = await start_service(QCHAT_SESSION_BYTES="1000000")
    session = await client.session()
    turn = await client.turn(session, bash("head -c 5000000 /dev/zero > big; sleep 300"))
    last = await client.ended(session, turn["turn"])
    assert (last["reason"], last["code"]) == ("quota_exceeded", "QUOTA_EXCEEDED")
    assert (ctx.state.workspace(session) / "big").stat().st_size == 5_000_000
    shown = await client.json("GET", f"{API}/sessions/{session}", status=200)
    assert shown["usage"]["bytes"] >= 5_000_000
    assert shown["limits"]["bytes"] == 1_000_000
