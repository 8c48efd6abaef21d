"""The warden itself: it keeps keepers ready, who take the requests."""

import gc
import json
import os
import select
import signal
import socket
from contextlib import suppress
from typing import Any

from qchat.adapters.warden import kernel
from qchat.adapters.warden.family import end_strays, reap
from qchat.adapters.warden.keeper import keep, prepare, receive, wake_on_child

PID_BYTES = 4
NO_REQUEST, FAILED = 1, 2
"""How a keeper exits: nobody asks any more, or it could not keep its turn."""
SPARES = 2
"""Keepers that wait for a request."""
CALM_SECONDS = 0.005


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
    """Have keepers ready at any time, who take the requests themselves.

    The successor of one is forked a moment later, unless it is needed at once: while a turn starts there is
    enough to do.
    """
    spares: set[int] = set()
    keepers: set[int] = set()
    woken = wake_on_child()
    taken, tell = os.pipe()
    sources: list[Any] = [taken, woken]
    while True:
        if not spares:
            spares.add(fork_keeper(control, tell))
        ready, _, _ = select.select(sources, [], [], CALM_SECONDS if len(spares) < SPARES else None)
        if not ready:
            with suppress(OSError):  # there is another one still
                spares.add(fork_keeper(control, tell))
        if taken in ready and (pid := int.from_bytes(os.read(taken, PID_BYTES), "little")) in spares:
            spares.remove(pid)
            keepers.add(pid)
        if woken in ready:
            woken.recv(4096)
        ended = False
        for pid, code in reap():
            ended |= pid in spares and code == NO_REQUEST
            if pid not in spares | keepers or code != 0:
                end_strays(keepers | spares)
            spares.discard(pid)
            keepers.discard(pid)
        if ended:
            return


def fork_keeper(control: socket.socket, tell: int) -> int:
    warden = os.getpid()
    if pid := os.fork():
        return pid
    status = NO_REQUEST
    try:
        # Until it has a turn it is a part of the warden, and goes with it.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        woken = prepare()
        message, fds = receive(control)
        if os.getppid() == warden and message:
            status = FAILED
            os.write(tell, os.getpid().to_bytes(PID_BYTES, "little"))
            kernel.prctl(kernel.PR_SET_PDEATHSIG, 0)
            control.close()
            keep(json.loads(message), socket.socket(fileno=fds[0]), fds[1:], woken)
            status = 0
    finally:
        os._exit(status)
