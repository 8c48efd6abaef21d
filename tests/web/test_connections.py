"""Connections that cost a descriptor and bring nothing."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from qchat.web import connections
from tests.conftest import StartService
from tests.harness import Client, environment, server
from tests.web.places import connection

API = "/api/v1"
GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEAD = b"POST /api/v1/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /health HTT", HEAD + b'Content-Length: 50\r\n\r\n{"mess'])
async def test_who_keeps_us_waiting_is_cut(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Who connects and asks nothing, half a request or half a body is cut; who reads a stream is not."""
    for name in ("FIRST_REQUEST_SECONDS", "BODY_SECONDS", "SWEEP_SECONDS"):
        monkeypatch.setattr(connections, name, 0.05)
    client, _ = await start_service()
    session = await client.session()
    async with client.http.get(f"{client.url}{API}/sessions/{session}/events") as stream:
        async with asyncio.timeout(10), connection(client) as (reader, writer):
            writer.write(sent)
            assert await reader.read() == b""
        turn = await client.turn(session, "say a")
        assert (await client.ended(session, turn["turn"]))["reason"] == "completed"
        assert b"turn" in await stream.content.readany()


async def test_connections_at_rest_give_way(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With 64 descriptors, 100 clients that keep their connections are served, and the log stays quiet."""
    log = tmp_path / "log"
    async with server(environment(tmp_path / "sessions"), log, ["prlimit", "--nofile=64:64"]) as running:
        client = Client(http, running.url)
        async with AsyncExitStack() as kept:
            for _ in range(100):
                reader, writer = await kept.enter_async_context(connection(client))
                writer.write(GET)
                assert (await reader.readline()).split()[1] == b"200"
            asked = {"message": "say y"}
            await client.json("POST", f"{API}/chat", json=asked, status=200)
    assert "Traceback" not in log.read_text()


async def test_too_many_connections_are_refused(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With 64 descriptors and 50 silent clients the last are refused, and the first can have a turn run."""
    log = tmp_path / "log"
    async with server(environment(tmp_path / "sessions"), log, ["prlimit", "--nofile=64:64"]) as running:
        client = Client(http, running.url)
        async with AsyncExitStack() as kept, asyncio.timeout(60):
            silent = [await kept.enter_async_context(connection(client)) for _ in range(50)]
            assert await silent[-1][0].read() == b""
            reader, writer = silent[0]
            writer.write(HEAD + b'Content-Length: 19\r\n\r\n{"message":"say y"}')
            assert (await reader.readline()).split()[1] == b"200"
    assert "Traceback" not in log.read_text()
