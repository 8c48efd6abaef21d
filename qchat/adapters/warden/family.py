"""Processes and their parents; ending all that descend from this one."""

import os
import signal
import time
from contextlib import suppress


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


def end_strays(keepers: set[int]) -> None:
    """Kill what a dead keeper left to the warden; a living keeper's children are its own business."""
    for pid, parent in processes():
        if parent == os.getpid() and pid not in keepers:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def reap() -> list[tuple[int, int]]:
    """Collect the children that have ended: (process id, exit code, negative for a signal)."""
    ended = []
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


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
