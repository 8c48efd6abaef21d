"""Races, many times over: cuts, repeats, cancels. QCHAT_TEST_ROUNDS multiplies the rounds."""

import asyncio
import json
import random
import socket
from pathlib import Path
from urllib.parse import urlencode

from tests.conftest import StartService
from tests.harness import ROUNDS, Client, Frame, alive, answer, bash, frames, until

API = "/api/v1"


async def test_cuts(client: Client, tmp_path: Path) -> None:
    """A client that is cut at random bytes, also before the first, and repeats its request with the same
    key, runs the prompt once and in the end has read exactly the whole answer."""
    rng = random.Random(3)
    host, port = client.url.removeprefix("http://").split(":")
    for number in range(10 * ROUNDS):
        session = await client.session()
        prompt = bash(f"echo run >> {tmp_path}/runs{number}") + "\nflood 3000 0.0005"
        path = f"{API}/chat/stream?{_query(session_id=session, message=prompt, request_id='k')}"
        seen: list[str] = []
        last_id = ""
        for _ in range(10):
            text = await _cut(host, int(port), path, last_id, rng.choice([0, rng.randrange(4000)]))
            last_id = _take(text, seen) or last_id
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with client.http.get(client.url + path, headers=headers) as response:
            if response.status != 204:
                seen += [answer([frame]) async for frame in frames(response)]
        whole = await client.events(f"{API}/sessions/{session}/turns/1/events")
        assert "".join(seen) == answer(whole)
        assert (tmp_path / f"runs{number}").read_text() == "run\n"


def _query(**fields: str) -> str:
    return urlencode(fields)


async def _cut(host: str, port: int, path: str, last_id: str, size: int) -> str:
    """Send a request, read ``size`` bytes of what comes, and break the connection: the body's text."""
    reader, writer = await asyncio.open_connection(host, port)
    header = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}\r\n".encode())
    await writer.drain()
    raw = b""
    try:
        async with asyncio.timeout(1):
            while len(raw) < size and (piece := await reader.read(size - len(raw))):
                raw += piece
    except TimeoutError:
        pass
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()
    return _body(raw)


def _body(raw: bytes) -> str:
    """What is complete of a chunked body."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    body = b""
    while b"\r\n" in rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        body += rest[:size]
        rest = rest[size + 2 :]
    return body.decode(errors="ignore")


def _take(text: str, seen: list[str]) -> str:
    """Take the complete events, as a browser would; the id of the last."""
    last = ""
    for block in text.split("\n\n")[:-1]:
        for line in block.split("\n"):
            if line.startswith("id: "):
                last = line[4:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                seen.append(data["message"] if data["type"] == "chunk" else "")
    return last


async def test_cancel_at_random_instants(client: Client) -> None:
    """Cancel against exit against the next prompt: every turn has exactly one terminal event."""
    rng = random.Random(5)

    async def one() -> None:
        session = await client.session()
        turn = await client.turn(session, f"say a\nsleep {rng.random() * 0.1}\nsay b")
        reading = asyncio.create_task(client.events(f"{turn['events_url']}"))
        await asyncio.sleep(rng.random() * 0.25)
        cancels = (client.json("POST", turn["cancel_url"], status=200) for _ in range(2))
        first, second = await asyncio.gather(*cancels)
        assert first["ended_at"] == second["ended_at"]
        found = await reading
        terminal = [frame for frame in found if frame.type in ("done", "error")]
        assert [frame.id for frame in terminal] == [found[-1].id]
        assert terminal[0].data is not None
        assert terminal[0].data["reason"] == first["state"]

    for _ in range(5 * ROUNDS):
        await asyncio.gather(*(one() for _ in range(8)))


async def test_nothing_survives_a_cancel(client: Client, tmp_path: Path) -> None:
    """Whatever an agent has started is gone when its cancelled turn is told to have ended."""
    for number in range(6 * ROUNDS):
        pids = tmp_path / f"pids{number}"
        script = (
            f"setsid bash -c 'trap \"\" TERM INT; echo $$ >> {pids}; while :; do sleep 0.05; done' &"
            f" (env -i setsid bash -c 'echo $$ >> {pids}; exec sleep 300' &) ;"
            f" trap '' TERM; echo $$ $PPID >> {pids}; while :; do sleep 0.05; done"
        )
        session = await client.session()
        turn = await client.turn(session, bash(script))
        await until(lambda pids=pids: pids.exists() and len(pids.read_text().split()) == 4)
        await client.json("POST", turn["cancel_url"], status=200)
        assert not [pid for pid in pids.read_text().split() if alive(int(pid))]


async def test_keyed_repeats_at_once(client: Client, tmp_path: Path) -> None:
    """Of many identical keyed requests at the same moment one runs, and all get the same turn."""
    session = await client.session()
    prompt = bash(f"echo run >> {tmp_path}/runs")
    turns = await asyncio.gather(*(client.turn(session, prompt, key="k") for _ in range(30)))
    assert {turn["turn"] for turn in turns} == {1}
    await client.ended(session, 1)
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_streams_follow_a_session(start_service: StartService) -> None:
    """One stream follows a session turn after turn, and continues from any id."""
    client, _ = await start_service()
    session = await client.session()
    for number in range(1, 4):
        await client.json("POST", f"{API}/chat", json={"message": f"say t{number}", "session_id": session})
    found = []
    async with client.http.get(client.url + f"{API}/sessions/{session}/events") as response:
        async for frame in frames(response):
            found.append(frame)
            if frame.type == "done" and frame.data and frame.data["turn"] == 3:
                break
    assert answer(found) == "t1t2t3"
    assert [frame.type for frame in found].count("turn") == 3
    for index, frame in enumerate(found[:-1]):
        rest = await _until_third(client, session, frame.id)
        assert answer(found[: index + 1]) + answer(rest) == "t1t2t3"


async def _until_third(client: Client, session: str, after: str) -> list[Frame]:
    rest: list[Frame] = []
    url = client.url + f"{API}/sessions/{session}/events?after={after}"
    async with client.http.get(url) as response:
        async for frame in frames(response):
            rest.append(frame)
            if frame.type == "done" and frame.data and frame.data["turn"] == 3:
                return rest
    raise AssertionError("the stream ended")
