"""The exact record of turns, read from the database that the stand-in keeps as Q does."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.conftest import StartService
from tests.harness import Client, bash

API = "/api/v1"


async def recorded(client: Client, session: str, number: int) -> dict[str, Any]:
    """The turn, once its record is there; the last state if none comes."""
    path = f"{API}/sessions/{session}/turns/{number}"
    for _ in range(100):
        found = await client.json("GET", path, status=200)
        if found["answer_source"] == "record":
            break
        await asyncio.sleep(0.05)
    assert isinstance(found, dict)
    return found


async def test_exact_answer(client: Client) -> None:
    """After a turn its exact markdown and its tools, with arguments and results, are there."""
    session = await client.session()
    prompt = 'say **a** &amp; b\ntool execute_bash {"command": "echo hello"}\nsay done'
    turn = await client.turn(session, prompt)
    await client.ended(session, turn["turn"])
    found = await recorded(client, session, 1)
    assert found["answer_source"] == "record"
    assert "**a** &amp; b" in found["answer"]
    (tool,) = found["tools"]
    assert (tool["name"], tool["arguments"]["command"]) == ("execute_bash", "echo hello")


async def test_a_record_is_read_in_the_sandbox(start_service: StartService) -> None:
    """Where agents are kept in, and HOME is another path for them, the record is read all the same."""
    client, _ = await start_service(QCHAT_SANDBOX="auto")
    session = await client.session()
    turn = await client.turn(session, "say 中文 &amp; 😀")
    await client.ended(session, turn["turn"])
    found = await recorded(client, session, 1)
    assert (found["answer_source"], found["answer"]) == ("record", "中文 &amp; 😀")


async def test_without_a_record(start_service: StartService, client: Client) -> None:
    """A turn that was cut short has no record, and is read from its transcript."""
    session = await client.session()
    turn = await client.turn(session, "say kept\nhang")
    async with client.http.get(client.url + turn["events_url"]) as response:
        await response.content.readuntil(b"kept")
    await client.json("POST", turn["cancel_url"], status=200)
    found = await client.json("GET", f"{API}/sessions/{session}/turns/1", status=200)
    assert (found["answer_source"], found["answer"], found["tools"]) == ("transcript", "kept", [])


async def test_tools_without_a_record(client: Client) -> None:
    """Of a turn without a record, the tools are what their cards have told, also of one that never ended."""
    session = await client.session()
    prompt = "\n".join(["say go", bash("echo hello"), bash("echo on; sleep 60")])
    turn = await client.turn(session, prompt)
    async with client.http.get(client.url + turn["events_url"]) as response:
        await response.content.readuntil(b"on\\n")
    await client.json("POST", turn["cancel_url"], status=200)
    found = await client.json("GET", f"{API}/sessions/{session}/turns/1", status=200)
    assert (found["answer_source"], found["answer"]) == ("transcript", "go")
    assert found["tools"] == [
        {
            "id": "1",
            "name": "execute_bash",
            "arguments": {"command": "echo hello"},
            "status": "success",
            "result": ["hello\n"],
        },
        {
            "id": "2",
            "name": "execute_bash",
            "arguments": {"command": "echo on; sleep 60"},
            "status": "error",
            "result": ["on\n"],
        },
    ]


SPOILER = """#!/usr/bin/env python3
import json, os, sqlite3, sys
prompt = sys.stdin.read()
path = os.environ["HOME"] + "/.local/share/amazon-q/data.sqlite3"
deep = "[" * 600 + "]" * 600
said = '{"ToolUse": {"content": "", "tool_uses": [{"id": "1", "name": "n", "args": %s}]}}' % deep
asked = json.dumps({"content": {"Prompt": {"prompt": prompt}}})
with sqlite3.connect(path) as database:
    database.execute("CREATE TABLE IF NOT EXISTS conversations (key TEXT PRIMARY KEY, value TEXT)")
    value = '{"history": [{"user": %s, "assistant": %s}]}' % (asked, said)
    database.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?)", (os.getcwd(), value))
print("done")
"""


async def test_a_hostile_record_holds_nothing_up(start_service: StartService, tmp_path: Path) -> None:
    """Whatever an agent leaves in its database, there is no record of it, and its session goes on."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "q").write_text(SPOILER)
    (tmp_path / "bin" / "q").chmod(0o755)
    client, _ = await start_service(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    session = await client.session()
    for number in (1, 2):
        turn = await client.turn(session, "go")
        assert (await client.ended(session, turn["turn"]))["reason"] == "completed"
        found = await client.json("GET", f"{API}/sessions/{session}/turns/{number}", status=200)
        assert (found["answer_source"], found["answer"]) == ("transcript", "done")


async def test_conversation_continues(client: Client) -> None:
    """The second turn of a session continues the conversation of the first."""
    session = await client.session()
    for expected in ("0", "2"):
        body = {"message": "history", "session_id": session}
        found = await client.json("POST", f"{API}/chat", json=body, status=200)
        assert expected in found["response"]


async def test_an_interrupted_exchange_is_forgotten(client: Client) -> None:
    """The turn after an interrupted one works, and a notice says that the agent does not remember it."""
    session = await client.session()
    first = await client.turn(session, "say kept\nhang")
    async with client.http.get(client.url + first["events_url"]) as response:
        await response.content.readuntil(b"kept")
    await client.json("POST", first["cancel_url"], status=200)
    second = await client.turn(session, "say on")
    for after in ("", "2-0"):
        found = await client.events(second["events_url"] + (f"?after={after}" if after else ""))
        assert [frame.type for frame in found if frame.data] == ["notice", "chunk", "done"]
    rest = await client.events(second["events_url"] + "?after=2-0-1")
    assert [frame.type for frame in rest] == ["chunk", "done"]


async def test_an_interrupted_exchange_is_told_of_later(client: Client) -> None:
    """Turns that were cancelled while they waited do not hide that the one before them was interrupted."""
    session = await client.session()
    first = await client.turn(session, "say kept\nhang")
    waiting = await client.turn(session, "say never", on_busy="queue")
    await client.json("POST", waiting["cancel_url"], status=200)
    async with client.http.get(client.url + first["events_url"]) as response:
        await response.content.readuntil(b"kept")
    await client.json("POST", first["cancel_url"], status=200)
    third = await client.turn(session, "say on")
    found = await client.events(third["events_url"])
    assert next(frame.type for frame in found if frame.data and frame.type != "queued") == "notice"


async def test_commands_that_are_allowed(start_service: StartService) -> None:
    """An allowed command of the CLI is complete without an answer, and its end has what stderr said."""
    client, _ = await start_service(QCHAT_CLI_COMMANDS="allow")
    session = await client.session()
    ends = {}
    for prompt in ("/quit", "/help", "!echo out", "@nobody"):
        turn = await client.turn(session, prompt, on_busy="queue")
        ends[prompt] = await client.ended(session, turn["turn"])
    assert [end["reason"] for end in ends.values()] == ["completed", "completed", "completed", "failed"]
    assert "details" not in ends["/quit"]
    assert "Usage" in ends["/help"]["details"]
    assert "nobody not found" in ends["@nobody"]["details"]


async def test_a_throttled_service_says_when(client: Client) -> None:
    """Who was throttled is told after how many seconds to come back, also by the header for it."""
    async with client.http.post(client.url + f"{API}/chat", json={"message": "fail 429 Slow"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "60")
        assert (await response.json())["retry_after"] == 60
