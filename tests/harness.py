"""What tests of the running service share: a service in this process, one in its own, and a client."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from attrs import define, field, frozen

import qchat.client
from qchat.client.sse import Parser

ROOT = Path(__file__).parent.parent
FAKES = ROOT / "tests" / "fakes"
ROUNDS = int(os.environ.get("QCHAT_TEST_ROUNDS", "1"))
"""How many times as many rounds the tests that repeat themselves do; the soak raises it."""


def environment(base: Path, **more: str) -> dict[str, str]:
    """The environment of a service whose agent is the stand-in for the Q CLI."""
    return {
        "PATH": f"{FAKES}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "SESSIONS_BASE_DIR": str(base),
        "PORT": "0",
        "QCHAT_AGENT": "q",
        "QCHAT_SANDBOX": "off",
        **more,
    }


@frozen
class Frame:
    """One server-sent event."""

    id: str
    event: str
    data: dict[str, Any] | None

    @property
    def type(self) -> str:
        return str((self.data or {}).get("type", ""))


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    """The blocks of a stream, each with what it says itself."""
    parser = Parser()
    async for piece in response.content.iter_any():
        for block in parser.feed(piece):
            data = json.loads(block.data) if block.data is not None else None
            yield Frame(block.id or "", block.event or "", data)


def answer(found: list[Frame]) -> str:
    """The chunks, joined."""
    return "".join(frame.data["message"] for frame in found if frame.data and frame.type == "chunk")


@define(eq=False)
class Client:
    """The API, as plainly as it can be called; ``api`` is the client that others use, and tries once."""

    http: aiohttp.ClientSession
    url: str

    @property
    def api(self) -> qchat.client.Client:
        return qchat.client.Client(self.url, http=self.http, patience=0)

    async def json(self, method: str, path: str, *, status: int | None = None, **options: Any) -> Any:
        async with self.http.request(method, self.url + path, **options) as response:
            body = await response.json()
            assert status is None or response.status == status, (response.status, body)
            return body

    async def session(self) -> str:
        return (await self.api.create_session()).id

    async def turn(self, session_id: str, message: str, *, key: str = "", **fields: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/api/v1/sessions/{session_id}/turns"
        turn = await self.json("POST", path, json={"message": message, **fields}, headers=headers)
        assert isinstance(turn, dict)
        return turn

    async def ended(self, session_id: str, number: int) -> dict[str, Any]:
        """The turn's terminal event."""
        *_, last = [event async for event in self.api.session(session_id).turn(number).events()]
        return dict(last.data)

    async def events(self, path: str, **options: Any) -> list[Frame]:
        """A whole stream, to its end."""
        async with self.http.get(self.url + path, **options) as response:
            assert response.status == 200, await response.text()
            return [frame async for frame in frames(response)]


@define(eq=False)
class Server:
    """A service in a process of its own."""

    process: asyncio.subprocess.Process
    url: str
    lines: list[str]
    log: Path
    exit: int | None = field(default=None)

    @classmethod
    async def start(cls, env: Mapping[str, str], log: Path, wrapper: Sequence[str] = ()) -> Self:
        with open(log, "ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *wrapper,
                *(sys.executable, "-m", "qchat"),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
            )
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(3)]
        if "http" not in lines[0]:
            await process.wait()
            raise RuntimeError(f"the server did not start: {log.read_text()}")
        return cls(process, lines[0].split()[-1], lines, log)

    def kill(self) -> None:
        self.process.kill()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        self.exit = await self.process.wait()
        return self.exit


@asynccontextmanager
async def server(env: Mapping[str, str], log: Path, wrapper: Sequence[str] = ()) -> AsyncIterator[Server]:
    """A running server that is ended, and waited for, at the end."""
    running = await Server.start(env, log, wrapper)
    try:
        yield running
    finally:
        if running.exit is None and running.process.returncode is None:
            running.terminate()
        await running.wait()


async def until(condition: Any, seconds: float = 10) -> Any:
    """Poll until ``condition()`` is true, and give what it gave."""
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.005)
        return found


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def read(path: Path) -> str:
    """What a file holds; nothing when it has vanished, as those of processes do."""
    try:
        return path.read_text()
    except OSError:
        return ""


def bash(command: str) -> str:
    """A prompt that makes the stand-in run a command as its tool."""
    return f"tool execute_bash {json.dumps({'command': command})}"
