"""The keeper: one turn's subreaper, from the start of its agent to the proof that nothing is left."""

import array
import json
import os
import select
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from qchat.adapters.warden import kernel
from qchat.adapters.warden.agent import MAX_FDS, Agent
from qchat.adapters.warden.boxed import Boxed
from qchat.adapters.warden.family import end_everything, reap

MESSAGE_BYTES = 256 * 1024


def prepare() -> socket.socket:
    """Become a keeper, before anybody needs one; what :func:`wake_on_child` returns."""
    # Away from the service's group: a signal to that one must not take the turn's proof with it.
    os.setsid()
    kernel.prctl(kernel.PR_SET_NAME, b"qchat-keeper")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    woken = wake_on_child()
    with suppress(OSError):  # without it a turn only begins later
        rehearse(woken)
    return woken


def rehearse(woken: socket.socket) -> None:
    """Keep a turn whose program nobody can execute.

    After a fork the first change to each page of memory costs a copy, and these are the pages that a request
    changes: a turn shall not wait for that.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    socket.send_fds(ours, [b'{"argv": ["/"], "env": {"PATH": "/"}, "bubblewrap": true}'], [root] * 4)
    os.close(root)
    message, fds = receive(theirs)
    keep(json.loads(message), theirs, fds, woken)
    ours.close()
    theirs.close()


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """A message, empty at the end, and the descriptors that came with it."""
    fds = array.array("i")
    message, ancillary, _, _ = sock.recvmsg(
        MESSAGE_BYTES, socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


def keep(request: Mapping[str, Any], turn: socket.socket, fds: list[int], woken: socket.socket) -> None:
    """Keep one turn, from its start to the proof that nothing of it is left."""
    try:
        agent = Boxed(request, fds) if request.get("bubblewrap") else Agent(request, fds)
    except OSError as error:
        end_everything()  # bubblewrap may run already
        report(turn, error=f"{error.filename}: {error.strerror}")
        return
    finally:
        for fd in fds:
            os.close(fd)
    if agent.ready:
        report(turn, pid=agent.pid)
    try:
        code = watch(turn, woken, agent)
    except OSError as error:
        end_everything()
        report(turn, error=f"the agent's limits could not be set: {error.strerror}")
        return
    if agent.ready:
        report(turn, exit=code)
    end_everything()
    if agent.ready:
        report(turn, clear=True)
    else:
        report(turn, error=f"bubblewrap could not make the sandbox (exit code {code})")


def wake_on_child() -> socket.socket:
    """A socket that becomes readable whenever a child has ended."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def watch(turn: socket.socket, woken: socket.socket, agent: Agent) -> int:
    """Return how the agent has ended, by itself or because everything is to be killed.

    :raises OSError: when it could not be limited.
    """
    while True:
        sources: list[Any] = [turn, woken] if agent.status < 0 else [turn, woken, agent.status]
        ready, _, _ = select.select(sources, [], [])
        if agent.status in ready and hear(turn, agent):
            continue
        if woken in ready:
            woken.recv(4096)
            for pid, code in reap():
                if pid == agent.pid:
                    return agent.exit_code(code)
        if turn in ready:
            command = turn.recv(16)
            if command in (b"INT", b"TERM"):
                agent.signal(signal.SIGINT if command == b"INT" else signal.SIGTERM)
                continue
            os.kill(agent.pid, signal.SIGKILL)
            _, status = os.waitpid(agent.pid, 0)
            return agent.exit_code(os.waitstatus_to_exitcode(status))


def hear(turn: socket.socket, agent: Agent) -> bool:
    """Listen to bubblewrap; true when the agent has just been let go."""
    before = agent.ready
    agent.hear()
    if agent.ready and not before:
        report(turn, pid=agent.pid)
        return True
    return False


def report(turn: socket.socket, **facts: object) -> None:
    # The service may be gone; then nobody wants to know, and the tree ends all the same.
    with suppress(OSError):
        turn.send(json.dumps(facts).encode())
