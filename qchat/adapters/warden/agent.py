"""Starting an agent that runs without bubblewrap: fork, confine, execute."""

import fcntl
import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from qchat.adapters.warden import kernel

MAX_FDS = 64
FAILED = 127
"""What a shell says of a program that it could not start."""
IGNORED = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
"""What the agent would inherit as ignored: SIGPIPE, as Python has it, and what the service was told to."""


class Agent:
    """The keeper's child. ``ready`` is whether it has been let go; ``status`` what to listen to, or -1."""

    ready = True
    status = -1

    def __init__(self, request: Mapping[str, Any], fds: list[int]) -> None:
        """Fork and execute.

        :raises OSError: when the program cannot be executed, named by ``filename``.
        """
        self.pid = _start(request, fds)

    def hear(self) -> None:
        """Take in what is to be heard at ``status``."""

    def exit_code(self, code: int) -> int:
        """The agent's exit code, negative for a signal, given that of our child."""
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the agent."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def out_of_the_way(fds: list[int]) -> list[int]:
    """Copies whose numbers are none that a program is to find its descriptors at."""
    floor = min(MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    return [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor) for fd in fds]


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
    try:
        (writer,) = out_of_the_way([writer])
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:  # else it died before the line above took hold
            _execute(request, fds)
    except OSError as error:
        os.write(writer, f"{error.errno} {error.filename or ''}".encode(errors="surrogateescape"))
    finally:
        os._exit(FAILED)


def _execute(request: Mapping[str, Any], fds: list[int]) -> NoReturn:
    argv, names = request["argv"], request.get("applied", [])
    os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    stdin, stdout, stderr, directory, *others = fds
    os.fchdir(directory)
    if request.get("directory"):
        os.chdir(request["directory"])
    high = out_of_the_way([stdin, stdout, stderr, *others])
    wanted = high[: len(high) - len(names)]
    for target, fd in enumerate(wanted):
        os.dup2(fd, target, inheritable=True)
    kernel.limit(0, request.get("limits", {}))
    kernel.apply(dict(zip(names, high[len(wanted) :], strict=True)))
    try:
        os.execvpe(argv[0], argv, request["env"])
    except OSError as error:
        raise OSError(error.errno, error.strerror, argv[0]) from None
