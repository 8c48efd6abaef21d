"""The warden itself: one request after another, a keeper for each."""

import array
import gc
import json
import os
import select
import signal
import socket
from typing import Any

from qchat.adapters.warden import kernel
from qchat.adapters.warden.agent import MAX_FDS
from qchat.adapters.warden.family import end_strays, reap
from qchat.adapters.warden.keeper import keep_and_exit, wake_on_child

MESSAGE_BYTES = 256 * 1024
PID_BYTES = 4


def main(config: str) -> None:
    """Serve requests until the service closes its end.

    ``config`` is JSON: ``control``, the socket of requests; ``inherit``, descriptors to hold (the lock);
    ``confine``, whether to give up rights; ``user``, [uid, gid] or null; ``ruleset``, a descriptor or null;
    ``covers`` and ``ways``: see :func:`.kernel.open_ways`.
    """
    told = json.loads(config)
    control = socket.socket(fileno=told["control"])
    for fd in (told["control"], *told["inherit"]):
        os.set_inheritable(fd, False)
    kernel.prctl(kernel.PR_SET_NAME, b"qchat-warden")
    # A keeper that is killed leaves its turn to the warden, which ends it as a stray.
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.open_ways(told["covers"], told["ways"])
    if told["confine"]:
        kernel.give_up_rights(told["user"], told["ruleset"])
    if told["ruleset"] is not None:
        os.close(told["ruleset"])
    # Forks share memory until one of them writes, and a collection would write everywhere.
    gc.disable()
    serve(control)
    signal.set_wakeup_fd(-1)  # keepers that end now wake nobody


def serve(control: socket.socket) -> None:
    """Have a keeper ready at any time: it takes the next request itself, and its successor is forked then."""
    keepers: set[int] = set()
    woken = wake_on_child()
    taken, tell = os.pipe()
    spare = fork_keeper(control, tell)
    sources: list[Any] = [taken, woken]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if taken in ready and int.from_bytes(os.read(taken, PID_BYTES), "little") == spare:
            keepers.add(spare)
            spare = fork_keeper(control, tell)
        if woken in ready:
            woken.recv(4096)
        for pid, code in reap():
            if pid == spare:
                if code > 0:  # there was no request, but the end
                    return
                spare = fork_keeper(control, tell)
            elif pid not in keepers or code != 0:
                end_strays(keepers | {spare})
            keepers.discard(pid)


def fork_keeper(control: socket.socket, tell: int) -> int:
    warden = os.getpid()
    if pid := os.fork():
        return pid
    try:
        # Until it has a turn it is a part of the warden, and goes with it.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        message, fds = receive(control)
        if os.getppid() == warden and message:
            os.write(tell, os.getpid().to_bytes(PID_BYTES, "little"))
            kernel.prctl(kernel.PR_SET_PDEATHSIG, 0)
            control.close()
            keep_and_exit(json.loads(message), fds)
    finally:
        os._exit(1)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    message, ancillary, _, _ = sock.recvmsg(
        MESSAGE_BYTES, socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)
