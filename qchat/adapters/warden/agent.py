"""Starting the agent: fork, confine, execute; and bubblewrap's account of what it started."""

import fcntl
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from qchat.adapters.warden import kernel
from qchat.adapters.warden.family import processes

MAX_FDS = 64
_FAILED = 127
"""What a shell says of a program that it could not start."""


class Agent:
    """The keeper's child: the agent itself, or the bubblewrap that it runs in.

    ``ready`` is whether the agent has been let go.
    """

    def __init__(self, request: Mapping[str, Any], fds: list[int]) -> None:
        """Fork and execute.

        :raises OSError: when the program cannot be executed, named by ``filename``.
        """
        self.status = self._release = -1
        self._said = b""
        self._init = 0
        self._limits: dict[str, int] = request.get("limits", {})
        self.ready = not request.get("bubblewrap")
        if self.ready:
            self.pid = _start(request, fds)
            return
        applied = len(request.get("applied", ()))
        self.status, told = os.pipe()
        block, self._release = os.pipe()
        try:
            passed = [*fds[: len(fds) - applied], told, block, *fds[len(fds) - applied :]]
            self.pid = _start({**request, "limits": {}}, passed)
        finally:
            os.close(told)
            os.close(block)

    def hear(self) -> None:
        """Take in what bubblewrap says, and let the agent go once it is known and limited.

        :raises OSError: when the limits cannot be set.
        """
        facts = self._listen()
        if not self.ready and "child-pid" in facts:
            self._init = int(facts["child-pid"])
            kernel.limit(self._init, self._limits)
            # When memory runs out, an agent goes before the service does.
            with suppress(OSError), open(f"/proc/{self._init}/oom_score_adj", "wb", 0) as score:
                score.write(b"500")
            os.write(self._release, b"x")
            self.ready = True

    def exit_code(self, code: int) -> int:
        """The agent's exit code, negative for a signal, given that of our child."""
        if self._release < 0:
            return code
        facts = self._listen()
        while self.status >= 0:
            facts = self._listen()
        said = facts.get("exit-code")
        if said is None:  # bubblewrap itself came to an end, or could not execute the agent
            return code if code < 0 else _FAILED
        return 128 - said if 128 < said <= 128 + signal.NSIG else int(said)

    def _listen(self) -> dict[str, Any]:
        """All facts that bubblewrap has told so far; it tells them in pieces."""
        if self.status >= 0:
            said = os.read(self.status, 4096)
            self._said += said
            if not said:
                os.close(self.status)
                self.status = -1
        facts: dict[str, Any] = {}
        for line in self._said.split(b"\n")[:-1]:
            facts.update(json.loads(line))
        return facts

    def signal(self, number: int) -> None:
        """Send a signal to the agent, past bubblewrap, which would not pass it on."""
        with suppress(ProcessLookupError):
            os.kill(self._inner() or self.pid, number)

    def _inner(self) -> int:
        """The second process of the sandbox's namespace, which is the agent, where there is one."""
        for pid, parent in processes() if self._init else ():
            if parent == self._init:
                with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
                    numbers = next(line for line in status if line.startswith("NSpid:"))
                    if numbers.split()[-1] == "2":
                        return pid
        return 0


def _start(request: Mapping[str, Any], fds: list[int]) -> int:
    reader, writer = os.pipe()  # closed by a successful exec, else carries the error
    keeper = os.getpid()
    if pid := os.fork():
        os.close(writer)
        with open(reader, "rb") as failure:
            if said := failure.read():
                os.waitpid(pid, 0)
                number, _, name = said.decode(errors="surrogateescape").partition(" ")
                raise OSError(int(number), os.strerror(int(number)), name)
        return pid
    writer = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, MAX_FDS)
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:  # else it died before the line above took hold
            _execute(request, fds)
    except OSError as error:
        os.write(writer, f"{error.errno} {error.filename or ''}".encode(errors="surrogateescape"))
    finally:
        os._exit(_FAILED)


def _execute(request: Mapping[str, Any], fds: list[int]) -> NoReturn:
    argv, names = request["argv"], request.get("applied", [])
    os.setsid()
    # What this process ignores or handles would be inherited as ignored.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    stdin, stdout, stderr, directory, *others = fds
    os.fchdir(directory)
    if request.get("directory"):
        os.chdir(request["directory"])
    # First out of the way of the numbers that they are to get, then into place.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, MAX_FDS) for fd in (stdin, stdout, stderr, *others)]
    wanted = high[: len(high) - len(names)]
    for target, fd in enumerate(wanted):
        os.dup2(fd, target, inheritable=True)
    kernel.limit(0, request.get("limits", {}))
    kernel.apply(dict(zip(names, high[len(wanted) :], strict=True)))
    try:
        os.execvpe(argv[0], argv, request["env"])
    except OSError as error:
        raise OSError(error.errno, error.strerror, argv[0]) from None
