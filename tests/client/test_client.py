"""The client against the service, over good connections and bad ones."""

import io
import itertools
import random
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from qchat.client import (
    Client,
    Conflict,
    ConnectionLost,
    Event,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Session,
    SessionBusy,
    TurnFailed,
    Unavailable,
)
from tests import harness
from tests.client.flaky import flaky
from tests.harness import ROUNDS, bash, environment, server


@pytest.fixture
async def session(client: harness.Client) -> Session:
    return await client.api.create_session()


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def joined(events: list[Event]) -> tuple[str, str, list[str]]:
    """The answer, what the tools wrote, and their states: all that cuts must not change."""
    tools = [event.data for event in events if event.type == "tool"]
    output = "".join(tool.get("output", "") for tool in tools)
    return "".join(event.text for event in events), output, list(dict.fromkeys(one["state"] for one in tools))


async def test_conversation(client: harness.Client) -> None:
    """A prompt is sent, its events come in order and end, and the answer is its pieces joined."""
    async with Client(client.url + "/") as qchat:
        assert (await qchat.health())["status"] == "healthy"
        session = await qchat.create_session()
        turn = await session.send("say one\n" + bash("echo tool") + "\nsay two")
        events = await collect(turn.events())
        assert [event.type for event in events if event.type == "tool"]
        assert events[-1].ends_turn
        assert events[-1].data["reason"] == "completed"
        assert "".join(event.text for event in events) == await turn.answer()
        assert (await turn.info()).state == "completed"
        assert b"two" in await turn.output()
        assert await session.ask("say three") == "three"
        assert [one.number async for one in session.turns()] == [1, 2]
        assert [one.id async for one in qchat.sessions()] == [session.id]
        assert (await session.change(title="a title")).title == "a title"
        assert (await session.info()).message_count == 4
        await session.delete()
        with pytest.raises(NotFound):
            await session.info()


async def test_resume_by_position(session: Session) -> None:
    """What comes behind an event's position is exactly what came after it, and behind the last nothing."""
    turn = await session.send("say one\n" + bash("echo tool") + "\nsay two")
    whole = await collect(turn.events())
    for index, event in enumerate(whole):
        assert await collect(turn.events(event.position)) == whole[index + 1 :]


async def test_session_events(session: Session) -> None:
    """The stream of a session has all its turns, and ends when it is deleted."""
    for number in (1, 2):
        await session.ask(f"say {number}")
    seen: list[str] = []
    async for event in session.events():
        seen.append(event.type)
        if event.type == "done" and event.turn == 2:
            await session.delete()
    assert seen.count("turn") == 2
    assert seen[-1] == "session_deleted"


async def test_failures(session: Session) -> None:
    """A turn that fails raises with the code, the reason, and what there is of the answer."""
    with pytest.raises(TurnFailed) as caught:
        await session.ask("say half\nexit 3")
    assert (caught.value.code, caught.value.reason) == ("QCLI_PROCESSING_ERROR", "failed")
    assert "half" in caught.value.answer


async def test_refusals(client: harness.Client, session: Session) -> None:
    """The server's refusals are exceptions that say what it said."""
    turn = await session.send("hang", key="k")
    with pytest.raises(SessionBusy) as busy:
        await session.send("say x")
    assert busy.value.turn == turn.number
    with pytest.raises(Conflict):
        await session.send("other", key="k")
    assert (await session.send("hang", key="k")).number == turn.number
    waiting = await session.send("say waited", on_busy="queue")
    assert (await turn.cancel()).state == "cancelled"
    assert await waiting.answer() == "waited"
    with pytest.raises(InvalidRequest, match="VALIDATION_ERROR"):
        await session.send("  ")
    for key in ("", "a\nb"):
        with pytest.raises(InvalidRequest, match="request_id"):
            await session.send("say x", key=key)
    with pytest.raises(NotFound, match="TURN_NOT_FOUND"):
        await session.turn(9).answer()
    with pytest.raises(NotFound, match="ENDPOINT_NOT_FOUND"):
        await Client(client.url + "/elsewhere", http=client.http).create_session()
    with pytest.raises(NotFound, match="ENDPOINT_NOT_FOUND"):
        await Client(client.url + "/elsewhere", http=client.http).session(session.id).delete()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "localhost", "ftp://x", "http://", "http://[", "/v1"])
def test_no_address(url: str) -> None:
    """What is no address is refused at once, not waited for."""
    with pytest.raises(ValueError, match="it takes http://"):
        Client(url)


async def test_files(session: Session) -> None:
    """Files are written, listed in pages, read, guarded by conditions, archived and deleted."""
    names = ["a.txt", "dir/ü %2f#?.txt", "dir/b"]
    for name in names:
        await session.files.write(name, name.encode())
    assert {file.path for file in await session.files.list()} == set(names)
    for file in await session.files.list(glob="*.txt"):
        assert await session.files.read(file) == file.path.encode()
    assert await session.files.read("dir/ü %2f#?.txt") == "dir/ü %2f#?.txt".encode()
    with pytest.raises(PreconditionFailed):
        await session.files.write("a.txt", b"", create=True)
    with pytest.raises(PreconditionFailed):
        await session.files.write("a.txt", b"", if_match='"another"')

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    await session.files.write("large", pieces())
    assert sum([len(piece) async for piece in session.files.stream("large")]) == 1_000_000
    packed = b"".join([piece async for piece in session.files.archive()])
    assert set(names) < set(zipfile.ZipFile(io.BytesIO(packed)).namelist())
    await session.files.delete("a.txt")
    with pytest.raises(NotFound):
        await session.files.read("a.txt")
    await session.files.delete("a.txt")


async def test_cuts(client: harness.Client) -> None:
    """A connection that breaks after any number of bytes costs no event and repeats none."""
    session = await client.api.create_session()
    turn = await session.send("say one\n" + bash("printf 'ü中%.0s' $(seq 50)") + "\nflood 100 0.01\nsay two")
    whole = await collect(turn.events())
    for seed in range(3 * ROUNDS):
        rng = random.Random(seed)
        budgets = (300 + rng.randrange(300 * count) for count in itertools.count(1))
        async with flaky(client.url, budgets) as bad, Client(bad.url) as qchat:
            bad_turn = qchat.session(session.id).turn(turn.number)
            events = await collect(bad_turn.events())
            assert bad.connections > 2
        assert joined(events) == joined(whole)
        assert events[-1] == whole[-1]
        assert len({event.position for event in events}) == len(events)


async def test_lost_answers(client: harness.Client, tmp_path: Path) -> None:
    """A prompt whose answer is lost is sent again and runs once; what is deleted stays deleted."""
    session = await client.api.create_session()
    async with flaky(client.url, iter([0, 30])) as bad, Client(bad.url) as qchat:
        turn = await qchat.session(session.id).send(bash(f"echo ran >> {tmp_path}/runs"))
        await turn.answer()
        assert bad.connections == 3
    assert (tmp_path / "runs").read_text() == "ran\n"
    async with flaky(client.url, iter([0])) as bad, Client(bad.url) as qchat:
        await qchat.session(session.id).delete()


async def test_patience_ends(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    """Without a service the client gives up when its patience ends, and says where it has looked."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ConnectionLost, match=url):
        await Client(url, http=http, patience=0.3).create_session()
    with pytest.raises(ConnectionLost):
        await collect(Client(url, http=http, patience=0.3).session("x").events())


async def test_errors_of_proxies(http: aiohttp.ClientSession) -> None:
    """Pages of a proxy that cannot reach the service are waited out, and none is taken for an answer."""
    asked = 0

    async def proxy(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked < 3:
            return web.Response(status=502, text="<html>bad gateway", content_type="text/html")
        return web.json_response({"session_id": "s", "created_at": 1.0}, status=201)

    app = web.Application()
    app.router.add_post("/api/v1/sessions", proxy)
    async with TestServer(app) as running:
        url = str(running.make_url("/"))
        assert (await Client(url, http=http).create_session()).id == "s"
        asked = 0
        with pytest.raises(Unavailable):
            await Client(url, http=http, patience=0).create_session()


async def test_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    """A service that is killed and started again ends the stream of its turn with the truth, and a
    turn that waited is answered, without the reader's help."""
    env = environment(tmp_path / "sessions", PORT=str(unused_tcp_port))
    async with Client(f"http://127.0.0.1:{unused_tcp_port}") as qchat:
        async with server(env, tmp_path / "log") as running:
            session = await qchat.create_session()
            first = await session.send("say one\nflood 100000 0.002")
            second = await session.send("say two", on_busy="queue")
            events = first.events()
            seen = [await anext(events) for _ in range(20)]
            running.kill()
            await running.wait()
        async with server(env, tmp_path / "log"):
            seen += await collect(events)
            assert (seen[-1].type, seen[-1].data["code"]) == ("error", "INTERRUPTED")
            whole = await collect(first.events())
            assert "".join(event.text for event in seen) == "".join(event.text for event in whole)
            assert await second.answer() == "two"


async def test_own_pool(client: harness.Client) -> None:
    """A connection pool of the caller's own is used and left open."""
    async with Client(client.url, http=client.http) as qchat:
        await qchat.create_session()
    assert not client.http.closed
    with pytest.raises(RuntimeError, match="async with"):
        await Client(client.url).health()
