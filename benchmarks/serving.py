"""The servers that are compared: each in a process of its own, and what their processes use."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import define

from benchmarks.load import call, request

ROOT = Path(__file__).parent.parent
MAX_OUTPUT = 1 << 30


@define(eq=False)
class Server:
    """One running server. ``own`` says whether it is qchat, with sessions and all."""

    process: "subprocess.Popen[str]"
    port: int
    own: bool
    program: Path
    seconds: float
    """From the start to listening."""

    def prompt(self, chunks: int, rate: int, size: int = 64) -> bytes:
        """The request that runs the program, and streams what it writes."""
        path = "/api/v1/chat/stream" if self.own else "/"
        return request(self.port, "POST", path, {"message": f"{chunks} {rate} {size}"})

    def session(self) -> str:
        return str(call(self.port, "POST", "/api/v1/sessions", status=201)["session_id"])

    def turn(self, session: str, chunks: int, rate: int, size: int = 64) -> str:
        """Start a turn; the path of its events."""
        body = {"message": f"{chunks} {rate} {size}"}
        made = call(self.port, "POST", f"/api/v1/sessions/{session}/turns", body, status=202)
        return str(made["events_url"])

    def cpu(self) -> float:
        """Seconds of processor time of the server and its helpers, without those of the program it runs."""
        return sum(map(_cpu, self.processes()))

    def own_cpu(self) -> float:
        """Seconds of processor time of the server's own process."""
        return _cpu(self.process.pid)

    def processes(self) -> list[int]:
        """The server and all below it, except the program."""
        found, new = [], [self.process.pid]
        while new:
            pid = new.pop()
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe") == str(self.program):
                    continue
                found.append(pid)
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    new += map(int, children.split())
        return found

    def resident(self) -> float:
        """MB of memory of the server and its helpers, shared pages divided among those that share them."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _cpu(pid: int) -> float:
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def start(kind: str, program: Path, base: Path, **more: str) -> Server:
    """Start ``qchat``, ``qchat-q`` (it takes the program for the Q CLI), ``floor`` or ``fastapi``."""
    own = kind.startswith("qchat")
    env = {"PATH": os.environ["PATH"], "HOME": str(base), "PYTHONPATH": str(ROOT)}
    if own:
        env |= {"SESSIONS_BASE_DIR": str(base / "sessions"), "PORT": "0", "QCHAT_SANDBOX": "off"}
        env |= {"QCHAT_AGENT": "command", "QCHAT_AGENT_COMMAND": str(program)}
        env |= {"QCHAT_MAX_OUTPUT_BYTES": str(MAX_OUTPUT)}
        env |= {"QCHAT_LOG_FILE": str(base / "log"), **more}
    if kind == "qchat-q":
        env |= {"QCHAT_AGENT": "q", "PATH": f"{program.parent}:{env['PATH']}"}
    module = {"floor": "benchmarks.floor", "fastapi": "benchmarks.fastapi_floor"}.get(kind, "qchat")
    argv = [sys.executable, "-P", "-m", module, *([] if own else [str(program)])]
    began = time.monotonic()
    with open(base / f"{kind}.err", "ab") as errors:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.monotonic() - began
    if "http" not in line:
        process.wait()
        raise RuntimeError(f"{kind} did not start: {(base / f'{kind}.err').read_text()[-2000:]}")
    while own and "Sessions in" not in process.stdout.readline():
        pass  # until the sandbox has been measured
    return Server(process, int(line.rpartition(":")[2].strip(" /\n")), own, program, seconds)


@contextlib.contextmanager
def serving(kind: str, program: Path, base: Path, **more: str) -> Iterator[Server]:
    """A server, for as long as it is needed."""
    server = start(kind, program, base, **more)
    try:
        yield server
    finally:
        server.stop()


def compiled(directory: Path) -> Path:
    """The stand-in for the agent, compiled.

    :raises SystemExit: when there is no C compiler.
    """
    program = directory / "q"
    compiler = next((name for name in ("cc", "gcc", "clang", "tcc") if _there(name)), None)
    if compiler is None:
        sys.exit("bench: a C compiler is needed. On Debian and Ubuntu: sudo apt-get install gcc libc6-dev")
    source = Path(__file__).parent / "agent.c"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program.resolve()


def _there(name: str) -> bool:
    return any(os.access(Path(place) / name, os.X_OK) for place in os.environ["PATH"].split(os.pathsep))
