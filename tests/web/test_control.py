"""The control socket of a running service, and what the operator's cleanups do through it."""

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from qchat import SessionDirectoryManager
from qchat.adapters.control import Control, ControlError
from qchat.adapters.statedir import StateDir
from qchat.model.cleanup import Cleaned, Rule
from tests.admin.base import admin_beside
from tests.conftest import StartService
from tests.harness import ROUNDS, environment, server

T = TypeVar("T")


async def test_the_socket_is_the_services_alone(start_service: StartService) -> None:
    """Only the service's user can open the socket; it says what the service is and how it is set."""
    client, ctx = await start_service(QCHAT_MAX_TURNS="7")
    await client.session()
    assert stat.S_IMODE(ctx.state.control_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(ctx.state.private.stat().st_mode) & 0o066 == 0
    status = await asyncio.to_thread(talk, ctx.state, Control.status)
    assert status["sessions"] == 1
    assert status["settings"]["QCHAT_MAX_TURNS"] == "7"
    assert status["isolation"]["level"] == "none"


def talk(state: StateDir, say: Callable[[Control], T]) -> T:
    """One conversation over the socket; for a thread."""
    control = Control.connect(state)
    assert control is not None
    return say(control)


def ask(state: StateDir, rule: Rule, names: list[str]) -> Cleaned:
    return talk(state, lambda control: control.clean(rule, names))


async def test_cleans_through_the_service(start_service: StartService) -> None:
    """With a service running, bare directories go, expired ones with their rows, and live ones stay."""
    client, ctx = await start_service(AUTO_CLEANUP_SESSIONS="false", SESSION_EXPIRY="60")
    expired, live = await client.session(), None
    await ctx.store.count_idle(100)
    assert await ctx.store.expire(expired, 60, forget=False)
    live = await client.session()
    bare = str(uuid4())
    ctx.state.workspace(bare).mkdir()
    manager = SessionDirectoryManager(ctx.state.base)
    cleaned = await asyncio.to_thread(manager.clean, Rule("empty"))
    assert set(cleaned.removed) == {expired, bare}
    assert cleaned.by_service
    assert [entry.name for entry in ctx.state.on_disk()] == [live]
    assert [session.id for session in ctx.store.all_sessions()] == [live]


async def test_the_service_looks_again(start_service: StartService) -> None:
    """Whatever the tool asks for, the service removes no live session and nothing that is not empty."""
    client, ctx = await start_service()
    live, full, gone = await client.session(), str(uuid4()), str(uuid4())
    ctx.state.workspace(full).mkdir()
    (ctx.state.workspace(full) / "file").touch()
    cleaned = await asyncio.to_thread(ask, ctx.state, Rule("empty"), [live, full, gone])
    assert dict(cleaned.kept) == {
        live: "the session has not expired",
        full: "it is not empty",
        gone: "it is gone already",
    }
    assert not cleaned.removed
    assert not cleaned.failed


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "all", "hours": 0, "sessions": []},
        {"kind": "old", "hours": -1, "sessions": []},
        {"kind": "old", "hours": "1", "sessions": []},
        {"kind": "empty", "hours": 0, "sessions": [".."]},
        {"kind": "empty", "hours": 0, "sessions": "x"},
        {"hours": 0},
    ],
)
async def test_refuses_what_makes_no_sense(start_service: StartService, body: dict[str, object]) -> None:
    """A malformed request is answered with an error that names the field, and changes nothing."""
    _, ctx = await start_service()
    with pytest.raises(ControlError, match=r"VALIDATION_ERROR.*(kind|hours|sessions)"):
        await asyncio.to_thread(talk, ctx.state, lambda control: control._ask("POST", "/cleanup", body))


async def test_errors_of_the_service_are_told(start_service: StartService) -> None:
    """A request that the service refuses is an error of the tool's, not an empty result."""
    _, ctx = await start_service()
    with pytest.raises(ControlError, match="sessions"):
        await asyncio.to_thread(ask, ctx.state, Rule("empty"), ["no id"])


async def test_sessions_that_are_being_made_are_safe(start_service: StartService) -> None:
    """Cleaning empty directories while sessions are made costs none of them its directory."""
    client, ctx = await start_service()
    manager = SessionDirectoryManager(ctx.state.base)
    made: list[str] = []

    async def make() -> None:
        for _ in range(30 * ROUNDS):
            made.extend(await asyncio.gather(*(client.session() for _ in range(10))))

    making = asyncio.create_task(make())
    while not making.done():
        await asyncio.to_thread(manager.clean, Rule("empty"))
        await asyncio.to_thread(ask, ctx.state, Rule("empty"), [e.name for e in ctx.state.on_disk()])
    await making
    assert {entry.name for entry in ctx.state.on_disk()} == set(made)


async def test_long_paths(start_service: StartService, tmp_path: Path) -> None:
    """A base directory whose path is longer than a socket's may be has a control socket all the same."""
    base = tmp_path / ("long" * 30)
    _, ctx = await start_service(SESSIONS_BASE_DIR=str(base))
    assert len(str(ctx.state.control_socket)) > 108
    status = await asyncio.to_thread(talk, ctx.state, Control.status)
    assert status["sessions"] == 0


async def test_a_real_server_and_the_real_tool(tmp_path: Path) -> None:
    """The server logs what it cleans for the tool, takes over a dead one's socket, and leaves none."""
    base, log = tmp_path / "sessions", tmp_path / "app.log"
    env = environment(base, QCHAT_LOG_FILE=str(log))
    async with server(env, tmp_path / "stderr") as first:
        first.kill()
        await first.wait()
    assert (base / ".qchat/control.sock").exists()
    async with server(env, tmp_path / "stderr"):
        bare = base / str(uuid4())
        bare.mkdir()
        told = await admin_beside(base, "cleanup-old", "--hours", "0", "--json")
        assert (told.code, told.json["removed"]) == (0, [bare.name])
    [line] = [json.loads(line) for line in log.read_text().splitlines() if "清理过期目录" in line]
    assert line["session_id"] == bare.name
    assert not (base / ".qchat/control.sock").exists()
