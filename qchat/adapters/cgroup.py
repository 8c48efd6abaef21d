"""A control group for every turn, where a directory of them was delegated to the service.

That is so under systemd with ``Delegate=memory pids``. Containers seldom have it; they bound all turns
together. A group counts memory and processes and, when it is removed, proves that none is left.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Self

from attrs import define, field

from qchat.adapters.policy import Limits

CONTROLLERS = {"memory", "pids"}
_OURS = "qchat-service"
_TURN = "qchat-turn-"


@define(eq=False)
class Cgroups:
    """``path`` is the delegated directory."""

    path: Path
    limits: Limits
    _numbers: Iterator[int] = field(factory=count)

    @classmethod
    def find(cls, limits: Limits) -> Self | None:
        """Take the delegated directory into use; None when there is none.

        A group with controllers may not hold processes itself, so the service moves into one of its own.
        """
        try:
            path = _own_directory()
            if path is None or not _delegated(path):
                return None
            if CONTROLLERS - set((path / "cgroup.controllers").read_text().split()):
                return None
            service = path / _OURS
            service.mkdir(exist_ok=True)
            for pid in (path / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    (service / "cgroup.procs").write_text(pid)
            (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
        except OSError:
            return None
        found = cls(path, limits)
        found.sweep()
        return found

    @contextmanager
    def turn(self) -> Iterator[int]:
        """A group for one turn: a descriptor to write a process id to.

        :raises OSError: when it cannot be made.
        """
        path = self.path / f"{_TURN}{next(self._numbers)}"
        path.mkdir()
        try:
            self._bound(path)
            fd = os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)
        finally:
            _remove(path)

    def _bound(self, path: Path) -> None:
        (path / "memory.max").write_text(str(self.limits.memory_bytes))
        (path / "pids.max").write_text(str(self.limits.processes))
        # A turn that runs out of memory ends whole, not in a state that nobody foresaw.
        (path / "memory.oom.group").write_text("1")

    def sweep(self) -> None:
        """Remove what a service that was killed left."""
        for path in self.path.glob(f"{_TURN}*"):
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        (path / "cgroup.kill").write_text("1")
    with suppress(OSError):  # when a process is still on its way out, the next start removes it
        path.rmdir()


def _own_directory(root: Path = Path("/sys/fs/cgroup")) -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            path = root / line[3:].lstrip("/")
            # The group that the service itself moved into, before it was started again in place.
            return path.parent if path.name == _OURS else path
    return None


def _delegated(path: Path) -> bool:
    """Being able to write it does not make it ours to divide up; systemd marks those that it gives away."""
    for name in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            return os.getxattr(path, name) == b"1"
    return False
