"""The life of turns, with real processes behind a real socket."""

import asyncio
import hashlib
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import StartService
from tests.harness import Client, alive, answer, bash, frames, read, until

API = "/api/v1"


async def test_an_answer_streams(client: Client) -> None:
    """What the CLI writes arrives as chunks, and the terminal event states how it ended."""
    session = await client.session()
    turn = await client.turn(session, "say one two\nsay three")
    *found, last = await client.events(turn["events_url"])
    assert answer(found) == "one twothree"
    output = await (await client.http.get(client.url + turn["output_url"])).read()
    assert last.data is not None
    assert last.id == f"1-{len(output) + 1}"
    assert last.data["sha256"] == hashlib.sha256(output).hexdigest()
    expected = {"reason": "completed", "exit_code": 0, "signal": None, "bytes": len(output), "turn": 1}
    assert {name: last.data[name] for name in expected} == expected


async def test_runs_in_its_own_directory(client: Client) -> None:
    """The CLI's working directory is the session's."""
    session = await client.session()
    turn = await client.turn(session, bash("pwd"))
    await client.ended(session, turn["turn"])
    shown = await client.json("GET", f"{API}/sessions/{session}")
    assert shown["absolute_work_directory"].endswith(session)
    output = await (await client.http.get(client.url + turn["output_url"])).text()
    assert shown["absolute_work_directory"] in output


async def test_a_second_prompt_is_refused(client: Client) -> None:
    """While a turn runs a second one is 409 with the running turn's number."""
    session = await client.session()
    await client.turn(session, "hang")
    refused = await client.json("POST", f"{API}/sessions/{session}/turns", json={"message": "x"}, status=409)
    assert (refused["code"], refused["turn"]) == ("SESSION_BUSY", 1)
    await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel")


async def test_a_queued_prompt_runs_after_the_first(client: Client) -> None:
    """With on_busy "queue" a second prompt waits, tells its place, and says when it runs after the first."""
    session = await client.session()
    await client.turn(session, "hang")
    second = await client.turn(session, "say later", on_busy="queue")
    assert second["state"] == "queued"
    found = []
    async with client.http.get(client.url + second["events_url"]) as response:
        async for frame in frames(response):
            found.append(frame)
            if frame.type == "queued":
                await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel", status=200)
    assert [frame.type for frame in found if frame.data] == ["queued", "notice", "started", "chunk", "done"]
    assert answer(found) == "later"


async def test_one_turn_at_a_time(client: Client) -> None:
    """Of fifty prompts at once, one runs and the others are refused."""
    session = await client.session()
    path = f"{API}/sessions/{session}/turns"

    async def send() -> int:
        async with client.http.post(client.url + path, json={"message": "hang"}) as response:
            return response.status

    statuses = await asyncio.gather(*(send() for _ in range(50)))
    assert sorted(statuses) == [202] + [409] * 49
    await client.json("POST", f"{path}/1/cancel")


async def test_cancel(client: Client) -> None:
    """A cancelled turn ends with done, keeps what there is of the answer, and says why."""
    session = await client.session()
    turn = await client.turn(session, "say first\nhang")
    async with client.http.get(client.url + turn["events_url"]) as response:
        await response.content.readuntil(b"first")
    cancelled = await client.json("POST", turn["cancel_url"], status=200)
    assert cancelled["state"] == "cancelled"
    *found, last = await client.events(turn["events_url"])
    assert answer(found) == "first"
    assert last.type == "done"
    again = await client.json("POST", turn["cancel_url"], status=200)
    assert again["ended_at"] == cancelled["ended_at"]


async def test_cancel_while_queued(client: Client) -> None:
    """A turn that is cancelled while it waits never runs."""
    session = await client.session()
    await client.turn(session, "hang")
    second = await client.turn(session, "say never", on_busy="queue")
    cancelled = await client.json("POST", second["cancel_url"], status=200)
    assert (cancelled["state"], cancelled["started_at"]) == ("cancelled", None)
    await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel")
    assert (await client.events(second["events_url"]))[-1].type == "done"


async def test_a_turn_that_waits_ends_alone(client: Client) -> None:
    """Cancelling a turn that waits leaves the stream of the running one alone, also for who comes later."""
    session = await client.session()
    first = await client.turn(session, "say kept\nhang")
    second = await client.turn(session, "say never", on_busy="queue")
    async with client.http.get(client.url + first["events_url"]) as early:
        await early.content.readuntil(b"kept")
        await client.json("POST", second["cancel_url"], status=200)
        async with client.http.get(client.url + first["events_url"]) as late:
            await late.content.readuntil(b"kept")
            await client.json("POST", first["cancel_url"], status=200)
            ends = [(await response.content.read()).decode() for response in (early, late)]
    assert all('"type": "done"' in end and '"turn": 1' in end and '"turn": 2' not in end for end in ends)


async def test_timeout(start_service: StartService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that takes too long is ended, and says so."""
    client, ctx = await start_service(QCLI_TIMEOUT="5")
    object.__setattr__(ctx.turns.settings, "qcli_timeout", 0.3)
    session = await client.session()
    turn = await client.turn(session, "say some\nhang")
    last = await client.ended(session, turn["turn"])
    assert (last["type"], last["code"], last["reason"]) == ("error", "QCLI_TIMEOUT", "timed_out")


async def test_output_limit(start_service: StartService) -> None:
    """A turn that writes more than is allowed is cut at exactly the limit."""
    client, _ = await start_service(QCHAT_MAX_OUTPUT_BYTES="100000")
    session = await client.session()
    turn = await client.turn(session, "write 10000000")
    last = await client.ended(session, turn["turn"])
    assert (last["reason"], last["code"], last["bytes"]) == ("output_limit", "OUTPUT_LIMIT", 100_000)


async def test_leaving_is_not_cancelling(client: Client) -> None:
    """A client that leaves in the middle does not end the turn."""
    session = await client.session()
    body = {"message": "say one\nsleep 0.3\nsay two", "session_id": session}
    response = await client.http.post(client.url + f"{API}/chat/stream", json=body)
    await response.content.readuntil(b"one")
    response.close()
    found = await client.events(f"{API}/sessions/{session}/turns/1/events")
    assert answer(found) == "onetwo"


async def test_exit_is_the_end_while_a_grandchild_holds_the_pipe(client: Client) -> None:
    """A turn ends with its process, although a background process still holds its output."""
    session = await client.session()
    seconds = f"3{uuid4().int % 10**9}"
    turn = await client.turn(session, f"orphan {seconds}\nsay x")
    last = await client.ended(session, turn["turn"])
    assert (last["reason"], last["seconds"] < 60) == ("completed", True)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if seconds in read(path)]


async def test_key_names_one_turn(client: Client) -> None:
    """The same request key never runs twice: it attaches while the turn runs, and replays later."""
    session = await client.session()
    path = f"{API}/sessions/{session}/turns"
    first = await client.json("POST", path, json={"message": "say a", "request_id": "k"}, status=202)
    again = await client.json(
        "POST", path, json={"message": "say a"}, headers={"Idempotency-Key": "k"}, status=200
    )
    assert first["turn"] == again["turn"]
    other = await client.json("POST", path, json={"message": "say b", "request_id": "k"}, status=409)
    assert other["code"] == "CONFLICT"
    await client.ended(session, 1)
    replayed = await client.json("POST", path, json={"message": "say a", "request_id": "k"}, status=200)
    assert replayed["turn"] == 1


async def test_key_without_a_session_names_the_session_too(client: Client) -> None:
    """A repeated keyed chat without a session gives the same session, also when sent at once."""
    body = {"message": "say a", "request_id": "k"}
    found = await asyncio.gather(
        *(client.json("POST", f"{API}/chat", json=body, status=200) for _ in range(5))
    )
    assert len({one["session_id"] for one in found}) == 1
    assert {one["response"] for one in found} == {"a"}
    listed = await client.json("GET", f"{API}/sessions")
    assert len(listed["sessions"]) == 1
    await client.json("DELETE", f"{API}/sessions/{found[0]['session_id']}", status=200)
    gone = await client.json("POST", f"{API}/chat", json=body, status=404)
    assert gone["code"] == "SESSION_NOT_FOUND"


async def test_delete_ends_everything(client: Client, tmp_path: Path) -> None:
    """Deleting a session ends its processes and streams, and removes its directory."""
    session = await client.session()
    turn = await client.turn(session, bash(f"echo $$ > {tmp_path}/pid; sleep 300"))
    reading = asyncio.create_task(client.events(f"{API}/sessions/{session}/events"))
    pid = int(await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    directory = (await client.json("GET", f"{API}/sessions/{session}"))["absolute_work_directory"]
    deleted = await client.json("DELETE", f"{API}/sessions/{session}", status=200)
    assert deleted == {"message": "会话已删除"}
    assert not os.path.exists(directory)
    assert not alive(pid)
    assert (await reading)[-1].type == "session_deleted"
    await client.json("GET", turn["events_url"], status=404)


async def test_queue_limit(start_service: StartService) -> None:
    """Beyond the running turns prompts wait, and beyond the queue they are 503 with Retry-After."""
    client, _ = await start_service(QCHAT_MAX_TURNS="1", QCHAT_MAX_QUEUED="1")
    sessions = [await client.session() for _ in range(3)]
    first = await client.turn(sessions[0], "hang")
    second = await client.turn(sessions[1], "say x")
    assert (first["state"], second["state"]) == ("running", "queued")
    async with client.http.post(
        client.url + f"{API}/sessions/{sessions[2]}/turns", json={"message": "say y"}
    ) as response:
        assert response.status == 503
        assert response.headers["Retry-After"]
        assert (await response.json())["code"] == "OVERLOADED"
    await client.json("POST", first["cancel_url"])
    assert answer(await client.events(second["events_url"])) == "x"


async def test_the_next_prompt_at_once_needs_no_room_in_the_queue(start_service: StartService) -> None:
    """Without a queue, the prompt that follows an answer at once runs, and is not refused."""
    client, _ = await start_service(QCHAT_MAX_QUEUED="0")
    session = await client.session()
    for number in range(5):
        asked = {"message": f"say {number}", "session_id": session}
        found = await client.json("POST", "/api/v1/chat", json=asked, status=200)
        assert found["response"] == str(number)


async def test_a_killed_agent_is_a_failure(client: Client, tmp_path: Path) -> None:
    """An agent that dies by a signal ends its turn as failed, with the signal."""
    session = await client.session()
    turn = await client.turn(session, bash(f"echo $PPID > {tmp_path}/pid; sleep 300"))
    pid = int(await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    os.kill(pid, signal.SIGKILL)
    last = await client.ended(session, turn["turn"])
    assert (last["reason"], last["signal"], last["code"]) == ("failed", 9, "QCLI_PROCESSING_ERROR")
