"""The warden: the small process that starts the agents and outlives nobody's turn.

The service itself never forks. It starts this program once, early, while it is alone, and asks it
over a socket to start every agent. For each request the warden forks a *keeper*: a process that is
the subreaper of one turn, so that whatever the agent leaves behind (double forks, ``setsid``
daemons) becomes the keeper's child and nobody else's. The keeper

- starts the agent and tells the service how it ended, at once;
- then kills what is left, until the kernel says that it has no child any more. That answer
  (``ECHILD``) is the proof that nothing of the turn is alive, and only then it says "clear";
- does the same when the service's end of the socket closes: the service's death ends its turns.

The warden and its keepers inherit the lock of the state directory and never unlock it. So a service
that gets the lock knows that no turn of an earlier one is alive.

Standard library only, started with ``python -I -S``: the smaller this process, the cheaper its forks.

Requests come as one SOCK_SEQPACKET message: JSON ``{"argv": [...], "env": {...}}`` with the
descriptors [turn socket, stdin, stdout, stderr, working directory, *others*]. ``others`` keep their
order and are passed on from number 3 up. A keeper reports on the turn socket, a JSON object a
message: ``{"pid"}``, ``{"error"}`` (not started), ``{"exit"}`` (an exit code, negative for a signal),
``{"clear"}``. It obeys the messages ``INT``, ``TERM`` (sent to the agent) and ``KILL`` (to everything).
"""

import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
MESSAGE_BYTES = 256 * 1024
MAX_FDS = 64

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int | bytes) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def main(control_fd: int, *inherited: int) -> None:
    """Serve requests until the service closes its end; ``inherited`` (the lock) is for keepers only."""
    control = socket.socket(fileno=control_fd)
    for fd in (control_fd, *inherited):
        os.set_inheritable(fd, False)
    prctl(PR_SET_NAME, b"qchat-warden")
    # A keeper that is killed leaves its turn to the warden, which ends it as a stray.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    keepers: set[int] = set()
    woken = wake_on_child()
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
        for pid, code in reap():
            if pid not in keepers or code != 0:
                end_strays(keepers)
            keepers.discard(pid)
        if control in ready:
            message, fds = receive(control)
            if not message:
                return
            if pid := os.fork():
                keepers.add(pid)
                for fd in fds:
                    os.close(fd)
            else:
                control.close()
                keep_and_exit(json.loads(message), fds)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    message, ancillary, _, _ = sock.recvmsg(
        MESSAGE_BYTES, socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


def wake_on_child() -> socket.socket:
    """A socket that becomes readable whenever a child has ended."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def reap() -> list[tuple[int, int]]:
    """Collect the children that have ended: (process id, exit code, negative for a signal)."""
    ended = []
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def keep_and_exit(request: dict[str, object], fds: list[int]) -> None:
    """A keeper's whole life, in the forked process."""
    status = 1
    try:
        # Away from the service's group: a signal to that one must not take the turn's proof with it.
        os.setsid()
        prctl(PR_SET_NAME, b"qchat-keeper")
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        keep(request, socket.socket(fileno=fds[0]), fds[1:])
        status = 0
    finally:
        os._exit(status)


def keep(request: dict[str, object], turn: socket.socket, fds: list[int]) -> None:
    woken = wake_on_child()
    try:
        agent = start(request, fds)
    except OSError as error:
        report(turn, error=f"{error.filename}: {error.strerror}")
        return
    finally:
        for fd in fds:
            os.close(fd)
    report(turn, pid=agent)
    watch(turn, woken, agent)
    end_everything()
    report(turn, clear=True)


def watch(turn: socket.socket, woken: socket.socket, agent: int) -> None:
    """Return when the agent has ended, or is to be killed with everything else."""
    while True:
        ready, _, _ = select.select([turn, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            for pid, code in reap():
                if pid == agent:
                    report(turn, exit=code)
                    return
        if turn in ready:
            command = turn.recv(16)
            if command in (b"INT", b"TERM"):
                os.kill(agent, signal.SIGINT if command == b"INT" else signal.SIGTERM)
                continue
            os.kill(agent, signal.SIGKILL)
            _, status = os.waitpid(agent, 0)
            report(turn, exit=os.waitstatus_to_exitcode(status))
            return


def report(turn: socket.socket, **facts: object) -> None:
    # The service may be gone; then nobody wants to know, and the tree ends all the same.
    with suppress(OSError):
        turn.send(json.dumps(facts).encode())


def start(request: dict[str, object], fds: list[int]) -> int:
    """Fork and execute the agent.

    :raises OSError: when it cannot be executed.
    """
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
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:  # else it died before the line above took hold
            execute(request, fds)
    except OSError as error:
        os.write(writer, f"{error.errno} {error.filename or ''}".encode(errors="surrogateescape"))
    finally:
        os._exit(127)


def execute(request: dict[str, object], fds: list[int]) -> None:
    argv, env = request["argv"], request["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    os.setsid()
    # What this process ignores or handles would be inherited as ignored.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    stdin, stdout, stderr, directory, *others = fds
    os.fchdir(directory)
    wanted = (stdin, stdout, stderr, *others)
    # First out of the way of the numbers that they are to get, then into place.
    for number, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, MAX_FDS) for fd in wanted]):
        os.dup2(fd, number, inheritable=True)
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        raise OSError(error.errno, error.strerror, argv[0]) from None


def end_strays(keepers: set[int]) -> None:
    """Kill what a dead keeper left to the warden; a living keeper's children are its own business."""
    for pid, parent in processes():
        if parent == os.getpid() and pid not in keepers:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def end_everything() -> None:
    """Kill every descendant, and return when the kernel says that there is none."""
    pause = 0.0005
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # Killed processes need a moment; one that cannot be killed must not cost a core.
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def descendants() -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in processes():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    queue = [os.getpid()]
    while queue:
        for pid in children.get(queue.pop(), ()):
            if pid not in found:
                found.add(pid)
                queue.append(pid)
    return found


def processes() -> list[tuple[int, int]]:
    """All processes that are visible: (process id, parent's id)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                # The program's name, in parentheses, may hold anything, parentheses too.
                found.append((int(name), int(stat.read().rpartition(b")")[2].split()[1])))
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
