"""Child processes of the service: started by the warden, watched from the event loop.

The interface is that of an asyncio subprocess, with three differences that the job needs. The end is
the process's exit, never the end of a pipe that a grandchild may hold. ``stop`` is a ladder that
ends with a proof that nothing is alive. And nothing is forked here: see :mod:`.warden`.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from attrs import define, field, frozen

READ_BYTES = 65536
LINE_BYTES = 1000
_START = "import sys; sys.path.append(sys.argv[1]); from qchat.adapters.warden.loop import main"
WARDEN = (
    *(sys.executable, "-I", "-S", "-X", "utf8", "-c"),
    f"{_START}; main(sys.argv[2])",
    str(Path(__file__).parents[2]),
)
"""The warden's command; its configuration follows."""
LADDER = ((b"INT", 1.0), (b"TERM", 1.0), (b"KILL", 5.0))
"""What a process is told, and how many seconds it gets before the next step."""


@frozen(kw_only=True)
class Launch:
    """What to start. ``fds`` are handed over as descriptors 3, 4, ...; the caller keeps its own copies."""

    argv: Sequence[str]
    env: Mapping[str, str]
    directory_fd: int
    directory: str = ""
    """Its path, where the warden may see it by another mount than the service, and has to use its own."""
    fds: Sequence[int] = ()
    applied: Mapping[str, int] = {}
    """Descriptors that confine the program and are not handed over: ``cgroup``, ``landlock``, ``seccomp``."""
    limits: Mapping[str, int] = {}
    """Resource limits by name: ``NPROC``, ``FSIZE``, ..."""
    bubblewrap: bool = False
    """The program is bubblewrap; its status and block descriptors are the next ones after ``fds``."""


@frozen(kw_only=True)
class Confinement:
    """What the warden gives up before it starts anything, for itself and every turn."""

    user: tuple[int, int] | None = None
    """The user id and group id to become; only root can."""
    ruleset_fd: int | None = None
    """A Landlock ruleset; it has to stay open, for the next warden should this one be killed."""
    covers: Sequence[str] = ()
    """Directories that the user may not search, to be covered by empty ones."""
    ways: Sequence[str] = ()
    """What beneath them the user is to reach nevertheless."""


class SpawnError(Exception):
    """The program could not be started; the text names it and says why."""


@define(eq=False)
class Process:
    """One running agent and everything it starts."""

    stdout: int
    """Our end of the pipe: readable, non-blocking."""
    stderr: int
    started: asyncio.Future[int]
    """The process id, or SpawnError."""
    exited: asyncio.Future[int]
    """The exit code, negative for a signal, as soon as the process has ended."""
    cleared: asyncio.Future[None]
    """Done when nothing that the process started is alive."""
    _turn: socket.socket

    @classmethod
    def adopt(cls, turn: socket.socket, stdout: int, stderr: int) -> Self:
        loop = asyncio.get_running_loop()
        process = cls(stdout, stderr, loop.create_future(), loop.create_future(), loop.create_future(), turn)
        turn.setblocking(False)
        loop.add_reader(turn, process._read_report)
        return process

    def _read_report(self) -> None:
        try:
            message = self._turn.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:  # the keeper is gone; what it did not report will not come
            asyncio.get_running_loop().remove_reader(self._turn)
            self._settle("the keeper of this process was killed")
            return
        facts = json.loads(message)
        if "pid" in facts:
            self.started.set_result(facts["pid"])
        elif "error" in facts:
            self._settle(facts["error"])
        elif "exit" in facts:
            self.exited.set_result(facts["exit"])
        else:
            self.cleared.set_result(None)

    def _settle(self, why: str) -> None:
        if not self.started.done():
            self.started.set_exception(SpawnError(why))
        if not self.exited.done():
            self.exited.set_result(-9)
        if not self.cleared.done():
            self.cleared.set_result(None)

    def tell(self, command: bytes) -> None:
        """Send INT or TERM to the process, or KILL to it and all that it started."""
        with suppress(OSError):  # it has ended, and so has its keeper
            self._turn.send(command)

    async def stop(self) -> None:
        """Climb the ladder until nothing of the process is alive."""
        for command, seconds in LADDER:
            self.tell(command)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self.cleared)
                    return

    async def output(self, most: int) -> tuple[bytes, bytes]:
        """What it writes to stdout and stderr until it has ended and nothing of it is alive.

        Up to ``most`` bytes of stdout, and as much of stderr as a line takes.

        :raises SpawnError: when it could not be started.
        """
        found, said = bytearray(), bytearray()
        loop = asyncio.get_running_loop()

        def read(fd: int, take: Callable[[bytes], object]) -> None:
            if not drain(fd, take):
                loop.remove_reader(fd)

        loop.add_reader(self.stdout, read, self.stdout, found.extend)
        loop.add_reader(self.stderr, read, self.stderr, said.extend)
        try:
            await self.started
            await self.cleared
        finally:
            loop.remove_reader(self.stdout)
            loop.remove_reader(self.stderr)
        for fd, taken, limit in ((self.stdout, found, most), (self.stderr, said, LINE_BYTES)):
            while len(taken) < limit and drain(fd, taken.extend):
                pass
        return bytes(found[:most]), bytes(said[:LINE_BYTES])

    def close(self) -> None:
        """Let go of the pipes. What may still be alive is ended by the keeper, which sees this."""
        asyncio.get_running_loop().remove_reader(self._turn)
        self._turn.close()
        os.close(self.stdout)
        os.close(self.stderr)
        self._settle("closed")
        for future in (self.started, self.exited, self.cleared):
            if not future.cancelled():
                future.exception()


@define(eq=False)
class Spawner:
    """The service's end of the warden."""

    inherit: Sequence[int] = ()
    """Descriptors that the warden and its keepers hold for as long as they live: the lock."""
    confinement: Confinement | None = None
    _control: socket.socket | None = None
    _warden: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start the warden; again, if it is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            confinement = self.confinement or Confinement()
            fds = [theirs.fileno(), *self.inherit]
            if confinement.ruleset_fd is not None:
                fds.append(confinement.ruleset_fd)
            config = {
                "control": theirs.fileno(),
                "inherit": [*self.inherit],
                "confine": self.confinement is not None,
                "user": confinement.user,
                "ruleset": confinement.ruleset_fd,
                "covers": [*confinement.covers],
                "ways": [*confinement.ways],
            }
            self._warden = subprocess.Popen(
                [*WARDEN, json.dumps(config)],
                pass_fds=fds,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={},  # agents may be able to read it
            )
        self._control = ours

    def spawn(self, launch: Launch, stdin: bytes = b"") -> Process:
        """Start a program that reads ``stdin`` and then the end of file.

        Returns at once: whether it could be started is for ``Process.started`` to tell.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            mine, turn = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(mine.close)
            theirs.callback(turn.close)
            stdout, stdout_end = os.pipe()
            ours.callback(os.close, stdout)
            theirs.callback(os.close, stdout_end)
            stderr, stderr_end = os.pipe()
            ours.callback(os.close, stderr)
            theirs.callback(os.close, stderr_end)
            # A file in memory, not a pipe: no prompt is too long for it, and no agent that does not
            # read can make the service wait.
            prompt = os.memfd_create("prompt", os.MFD_CLOEXEC)
            theirs.callback(os.close, prompt)
            os.write(prompt, stdin)
            os.lseek(prompt, 0, os.SEEK_SET)
            fds = [turn.fileno(), prompt, stdout_end, stderr_end, launch.directory_fd, *launch.fds]
            self._request(_request(launch), [*fds, *launch.applied.values()])
            os.set_blocking(stdout, False)
            os.set_blocking(stderr, False)
            ours.pop_all()
        return Process.adopt(mine, stdout, stderr)

    def _request(self, request: bytes, fds: list[int]) -> None:
        for attempt in (1, 2):
            if self._warden is None or self._warden.poll() is not None:
                self.stop()
                self.start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [request], fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                self.stop()
                if attempt == 2:
                    raise

    def stop(self) -> None:
        """Let the warden go; turns that still run are ended by their keepers when they are closed."""
        if self._control is not None:
            self._control.close()
        if self._warden is not None:
            self._warden.wait()
        self._control = self._warden = None


def _request(launch: Launch) -> bytes:
    """What the warden is asked; see :mod:`.warden`."""
    request = {
        "argv": [*launch.argv],
        "directory": launch.directory,
        "env": {**launch.env},
        "applied": [*launch.applied],
        "limits": {**launch.limits},
        "bubblewrap": launch.bubblewrap,
    }
    return json.dumps(request).encode()


def drain(fd: int, take: Callable[[bytes], object]) -> bool:
    """Hand over what one read gives; false at the end of the pipe."""
    try:
        data = os.read(fd, READ_BYTES)
    except BlockingIOError:
        return True
    take(data)
    return bool(data)
