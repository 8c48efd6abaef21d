"""Walking a hostile tree: bounded, in a stable order, never following a link, however deep it is."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from attrs import define, field

from qchat.adapters.beneath import force_directory, open_directory
from qchat.adapters.eventloop import give_way

MOST_ENTRIES = 200_000
_OPEN_LEVELS = 32
"""Directories on the way down that are kept open; the others are opened anew on the way back."""


@define(eq=False)
class _Level:
    name: bytes
    fd: int
    """-1 while it is closed."""
    keys: list[bytes]
    """What is still to be visited, the next one last; the names of directories end in ``/``."""
    after: bytes
    """The part of ``Walk.after`` beneath this directory; empty when all of it comes later."""


@define(eq=False, kw_only=True)
class Walk:
    """Everything in a tree, in the order of the paths' bytes.

    Iterating gives ``(name, status)``; for a directory the name ends in ``/`` and what is in it
    follows. Between two steps :meth:`path` tells where an entry is.

    :raises OSError: when the root itself cannot be read.

    Permissions can hide a part of the tree from a service that runs as the agent's own user; with
    ``force`` directories get them back.
    """

    root: int
    depth: int | None = None
    """Levels to visit: 1 is the root's own entries."""
    after: bytes = b""
    """Only what comes after this path."""
    most: int = MOST_ENTRIES
    """Entries to read at most."""
    deadline: float | None = None
    """When to give up, by the monotonic clock."""
    force: bool = False
    complete: bool = field(default=True, init=False)
    """False when a bound cut the walk short."""
    _read: int = field(default=0, init=False)
    _levels: list[_Level] = field(factory=list, init=False)
    _prefix: tuple[_Level | None, bytes] = field(default=(None, b""), init=False)
    """The path of one level only: those of all would be gigabytes in a tree that is deep enough."""

    def __iter__(self) -> Iterator[tuple[bytes, os.stat_result]]:
        try:
            self._enter(self.root, b".", self.after)
            while self._levels:
                give_way()
                level = self._levels[-1]
                if not level.keys:
                    self._leave()
                elif self._late():
                    return
                elif level.fd >= 0 or self._reopen():
                    with suppress(OSError):  # gone, swapped or forbidden: not part of the tree any more
                        yield from self._visit(level, level.keys.pop())
        finally:
            while self._levels:
                self._leave()

    @property
    def here(self) -> int:
        """A descriptor of the directory that holds the entry which the walk has just given."""
        return self._levels[-1].fd

    def path(self, name: bytes) -> bytes:
        """The path, relative to the root, of the entry that the walk has just given."""
        if self._prefix[0] is not self._levels[-1]:
            self._prefix = self._levels[-1], b"".join(level.name + b"/" for level in self._levels[1:])
        return self._prefix[1] + name

    def _visit(self, level: _Level, key: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        name = key.removesuffix(b"/")
        yield key, os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        if key != name and (self.depth is None or len(self._levels) < self.depth):
            self._enter(level.fd, name, level.after[len(key) :] if level.after.startswith(key) else b"")

    def _enter(self, parent: int, name: bytes, after: bytes) -> None:
        level = _Level(name, self._open(parent, name), [], after)
        self._levels.append(level)
        level.keys = self._keys(level.fd, after)
        if len(self._levels) > _OPEN_LEVELS:
            self._shut(self._levels[-_OPEN_LEVELS])

    def _open(self, parent: int, name: bytes) -> int:
        return force_directory(parent, name, 0o500) if self.force else open_directory(parent, [name])

    def _keys(self, fd: int, after: bytes) -> list[bytes]:
        found = []
        with os.scandir(fd) as entries:
            for entry in entries:
                give_way()
                self._read += 1
                if self._read > self.most or self._late():
                    self.complete = False
                    break
                key = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    key += b"/"
                if key > after or (key.endswith(b"/") and after.startswith(key)):
                    found.append(key)
        found.sort(reverse=True)
        return found

    def _late(self) -> bool:
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.complete = False
            return True
        return False

    def _leave(self) -> None:
        self._shut(self._levels.pop())

    @staticmethod
    def _shut(level: _Level) -> None:
        if level.fd >= 0:
            os.close(level.fd)
            level.fd = -1

    def _reopen(self) -> bool:
        """Open the last levels anew, from the root; what cannot be reached any more is left out."""
        first = max(0, len(self._levels) - _OPEN_LEVELS)
        for index in range(first, len(self._levels)):
            level = self._levels[index]
            try:
                if index == first:
                    names = [level.name for level in self._levels[1 : first + 1]]
                    level.fd = open_directory(self.root, names)
                else:
                    level.fd = self._open(self._levels[index - 1].fd, level.name)
            except OSError:
                while len(self._levels) > index:
                    self._leave()
                return False
        return True
