"""Where hostile programs are let loose: a service's things, another session, and the way they are started.

Everything runs in this process and its children, as whoever this process is.
"""

import asyncio
import ctypes
import json
import os
import re
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from pathlib import Path
from typing import Any

from attrs import define, field

from qchat.adapters import process as process_module
from qchat.adapters.policy import Limits, Network, Policy
from qchat.adapters.process import Launch, Process, Spawner, drain
from qchat.adapters.sandbox import Sandbox, interpreter_paths
from qchat.adapters.workspace import Workspace

HERE = Path(__file__).parent / "escapes"
PARTS = ("common", "files", "processes", "ipc", "network", "kernel")
SHARED_MEMORY_KEY = 0x71636861
LIMITS = Limits(processes=200, file_bytes=64 * 1024**2, tmp_bytes=16 * 1024**2, shm_bytes=16 * 1024**2)
Result = dict[str, dict[str, str]]


def interpreter() -> str:
    """One that whoever runs the agents can execute; the tests' own may lie where only root may look."""
    own = os.path.realpath(sys.executable)
    return (
        sys.executable
        if os.access(own, os.X_OK) and os.geteuid() == 0
        else shutil.which("python3", path="/usr/bin") or own
    )


def program(told: dict[str, Any]) -> bytes:
    """All hostile programs as one, with what they are after."""
    joined = "\n".join((HERE / f"{part}.py").read_text(encoding="utf-8") for part in PARTS)
    joined = re.sub(r"from tests\.sandbox\.escapes\.common import (\([^)]*\)|.*)", "", joined)
    return f"{joined}\nmain({told!r})\n".encode()


@define(eq=False)
class Arena:
    """``method`` is that of the sandbox; empty for none at all: the control."""

    place: Path
    method: str
    network: str
    told: dict[str, Any] = field(factory=dict)
    _sandbox: Sandbox | None = None
    _spawner: Spawner = field(factory=Spawner)
    _datagrams: socket.socket | None = None
    _stack: ExitStack = field(factory=ExitStack)

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Path, method: str, network: str = "ports:443,53") -> AsyncIterator["Arena"]:
        arena = cls(place, method, network)
        if os.geteuid() != 0:  # the tests' interpreter may lie where only root may look
            process_module.WARDEN = (interpreter(), *process_module.WARDEN[1:])
        with arena._stack:
            arena._build()
            await arena._start()
            yield arena

    # Things to be after

    def _build(self) -> None:
        base = self.place / "sessions"
        base.mkdir()
        names = {name: f"{secrets.token_hex(4)}-{name}" for name in ("mine", "other")}
        self.told |= {
            "base": str(base),
            "state": str(base / ".qchat"),
            "mark": f"mark-{secrets.token_hex(8)}",
            "daemon": secrets.token_hex(8),
            "key": f"qchat-{secrets.token_hex(4)}",
            "processes": LIMITS.processes,
            "file_bytes": LIMITS.file_bytes,
            "open_files": LIMITS.open_files,
            "tmp_bytes": LIMITS.tmp_bytes,
            "service_home": str(self.place / "service"),
            **{name: str(base / directory) for name, directory in names.items()},
            "home": str(base / ".qchat" / names["mine"] / "home"),
            "other_home": str(base / ".qchat" / names["other"] / "home"),
        }
        self.told["drop"] = f"/tmp/qchat-drop-{secrets.token_hex(8)}"
        self._stack.callback(lambda: Path(self.told["drop"]).unlink(missing_ok=True))
        self._sockets()
        self._kernel_objects()

    def _sockets(self) -> None:
        server = self._stack.enter_context
        self.told["port"] = server(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        self.told["port6"] = 1
        with suppress(OSError):
            self.told["port6"] = server(
                socket.create_server(("::1", 0), family=socket.AF_INET6)
            ).getsockname()[1]
        with suppress(OSError):
            server(socket.create_server(("127.0.0.1", 80)))
        self._datagrams = server(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.setblocking(False)
        self.told["datagrams"] = self._datagrams.getsockname()[1]
        for name, kind in (("abstract", socket.SOCK_STREAM), ("abstract_datagrams", socket.SOCK_DGRAM)):
            unix = server(socket.socket(socket.AF_UNIX, kind))
            self.told[name] = f"qchat-{secrets.token_hex(8)}"
            unix.bind(f"\0{self.told[name]}")
            if kind == socket.SOCK_STREAM:
                unix.listen()

    def _kernel_objects(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        key = self.told["shared_memory"] = SHARED_MEMORY_KEY + os.getpid()
        self._stack.callback(libc.shmctl, libc.shmget(key, 4096, 0o1666), 0, None)
        self._stack.callback(libc.semctl, libc.semget(key, 1, 0o1666), 0, 0)
        self._stack.callback(libc.msgctl, libc.msgget(key, 0o1666), 0, None)
        self.told["queue"] = f"qchat-{os.getpid()}"
        old = os.umask(0)
        libc.syscall(240, self.told["queue"].encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
        os.umask(old)
        self._stack.callback(libc.syscall, 241, self.told["queue"].encode())
        libc.syscall(250, 1, None)  # a session keyring of our own
        libc.syscall(248, b"user", self.told["key"].encode(), b"secret", 6, -3)
        for name, directory in (("temporary", "/tmp"), ("memory_file", "/dev/shm")):
            fd, path = tempfile.mkstemp(prefix="qchat-victim-", dir=directory)
            os.write(fd, b"secret")
            os.fchmod(fd, 0o644)
            os.close(fd)
            self._stack.callback(os.unlink, path)
            self.told[name] = path

    # Starting

    async def _start(self) -> None:
        base = Path(self.told["base"])
        (base / ".qchat").mkdir(mode=0o700)
        if self.method:
            policy = Policy(
                base=base, network=Network.parse(self.network), limits=LIMITS, server_port=self.told["port"]
            )
            self._sandbox = Sandbox.create(policy)
            self._sandbox.methods = (self.method,)
            self._stack.callback(self._sandbox.close)
            self._spawner = Spawner(confinement=self._sandbox.confinement)
        self._spawner.start()
        self._stack.callback(self._spawner.stop)
        if self._sandbox:
            report = await self._sandbox.measure(self._spawner)
            assert report.method == self.method, report
            self.told["level"] = report.level
        self._fill_sessions(base)
        self._stand_in()
        await self._start_other()

    def _fill_sessions(self, base: Path) -> None:
        owner = self._sandbox.owner if self._sandbox else None
        base_fd = os.open(base, os.O_PATH)
        for name in ("mine", "other"):
            Workspace.create(base_fd, Path(self.told[name]).name, owner).close()
        os.close(base_fd)
        for name in ("home", "other_home"):
            Path(self.told[name]).mkdir(parents=True)
        other = Path(self.told["other"])
        files = [other / name for name in ("secret", "victim", "to remove", "to chmod")]
        files += [Path(self.told["other_home"], "token"), Path(self.told["state"], "qchat.db")]
        Path(self.told["service_home"]).mkdir(mode=0o700)
        files.append(Path(self.told["service_home"], "token"))
        for path in files:
            path.write_text("secret of others", encoding="utf-8")
            if owner and path.is_relative_to(other):
                os.chown(path, owner.uid, owner.gid)
        for name, path in (("socket", base / ".qchat" / "control.sock"), ("other_socket", other / "sock")):
            self.told[name] = f"{path}"
            unix = self._stack.enter_context(socket.socket(socket.AF_UNIX))
            with _short(path) as short:
                unix.bind(short)
            unix.listen()
            path.chmod(0o777)

    def _stand_in(self) -> None:
        """A process that stands for the service, with a secret in its environment."""
        stand_in = subprocess.Popen(["sleep", "1000"], env={"QCHAT_TOKEN": self.told["mark"]}, cwd="/")
        self._stack.callback(stand_in.wait)
        self._stack.callback(stand_in.kill)
        self.told |= {"pid": stand_in.pid, "started": started(stand_in.pid)}

    async def _start_other(self) -> None:
        """The other session's agent, at work."""
        launch = self._stack.enter_context(self._launch(["sleep", "1000"], "other", "other_home"))
        process = self._spawner.spawn(launch)
        pid = await process.started
        self._stack.callback(process.close)
        while children := [child for child, parent in parents().items() if parent == pid]:
            pid = children[0]
        self.told |= {"other_pid": pid, "other_started": started(pid)}

    def _launch(self, argv: list[str], workspace: str, home: str) -> AbstractContextManager[Launch]:
        env = {"PATH": "/usr/bin:/bin"}
        if self._sandbox:
            paths = Path(self.told[workspace]), Path(self.told[home])
            visible = interpreter_paths() if interpreter() == sys.executable else ()
            return self._sandbox.launch(argv, env, *paths, visible=visible)
        fd = os.open(self.told[workspace], os.O_PATH)
        self._stack.callback(os.close, fd)
        # A service that forgot to close something: the control of that attempt.
        leaked = os.open(self.told["base"], os.O_PATH)
        self._stack.callback(os.close, leaked)
        return nullcontext(Launch(argv=argv, env=env, directory_fd=fd, fds=(leaked,)))

    # Letting loose

    async def run(self, only: list[str] | None = None) -> Result:
        """What became of every attempt: ``through``, ``held`` or ``broken``, with a detail."""
        with self._launch([interpreter(), "-I", "-S", "-"], "mine", "home") as launch:
            process = self._spawner.spawn(launch, program({**self.told, "only": only}))
            output = asyncio.create_task(collect(process))
            code = await process.exited
            await process.cleared
            said, errors = await output
            process.close()
        assert code == 0, (code, errors)
        results: Result = json.loads(said)
        for name, got in self._seen_outside().items():
            if got and name in results:
                results[name] = {"through": got}
        return results

    def _seen_outside(self) -> dict[str, str]:
        assert self._datagrams is not None
        received = b""
        with suppress(BlockingIOError):
            received = self._datagrams.recv(100)
        whose = Path(self.told["mine"], "whose")
        return {
            "leave_temporary_file": "it is there" if Path(self.told["drop"]).exists() else "",
            "run_as_root": "its file is root's" if whose.exists() and whose.stat().st_uid == 0 else "",
            "leave_daemon": "it lives" if self.told["daemon"] in environments() else "",
            "send_datagram_to_loopback": received.decode(),
        }


async def collect(process: Process) -> tuple[bytes, bytes]:
    """All that a process writes, until it is gone."""
    loop = asyncio.get_running_loop()
    found = {process.stdout: bytearray(), process.stderr: bytearray()}

    def take(fd: int) -> None:
        if not drain(fd, found[fd].extend):
            loop.remove_reader(fd)

    for fd in found:
        loop.add_reader(fd, take, fd)
    await process.cleared
    for fd, said in found.items():
        loop.remove_reader(fd)
        while drain(fd, said.extend) and select.select([fd], [], [], 0)[0]:
            pass
    return bytes(found[process.stdout]), bytes(found[process.stderr])


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


def parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return found


def environments() -> str:
    """The environments of all processes that may be looked into."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found.append(path.read_text(encoding="utf-8", errors="replace"))
    return "".join(found)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket that is short enough, whatever its path."""
    fd = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
