"""A session's workspace, as the service sees it: the one way to its files.

The files belong to an agent, so they are hostile; :mod:`.beneath` says what that means. Everything here
blocks: call it in a thread. Errors are :class:`.beneath.WorkspaceError`, or the OSError of a disk that
is full or broken.
"""

import os
import stat
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Self

from attrs import define, field, frozen

from qchat.adapters.beneath import (
    Denied,
    NotRegular,
    open_beneath,
    open_directory,
    parts_of,
    refused,
)
from qchat.adapters.identity import Owner
from qchat.adapters.tree import MOST_ENTRIES, Walk
from qchat.adapters.upload import Upload, is_temporary

_PATH_BYTES = 16384
"""Longest path that is listed."""


@frozen
class Entry:
    """A regular file of a workspace."""

    raw: bytes
    """Its path as it is, relative to the workspace, separated by ``/``."""
    size: int
    modified_time: float
    """Seconds since the epoch."""

    @property
    def path(self) -> str:
        """For display: see :func:`displayed`."""
        return displayed(self.raw)

    @property
    def name(self) -> str:
        """The last component, for display."""
        return displayed(self.raw.rpartition(b"/")[2])


@define(eq=False)
class Listing:
    """Regular files in the order of their paths' bytes, found while they are iterated over, once.

    The rest is known afterwards. Nothing is kept: a hundred thousand objects would take long to free.
    """

    _found: Iterator[Entry]
    _walk: Walk
    _limit: int | None
    count: int = 0
    last: Entry | None = None
    truncated: bool = False
    """There are more: go on after the ``raw`` of the last one."""
    _digest: "blake2b" = field(factory=partial(blake2b, digest_size=16))

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._found:
            if self._limit is not None and self.count >= self._limit:
                self.truncated = True
                return
            self._digest.update(b"%b\0%d %r\n" % (entry.raw, entry.size, entry.modified_time))
            self.count += 1
            self.last = entry
            yield entry
        self.truncated = not self._walk.complete

    @classmethod
    def empty(cls) -> Self:
        """Of a workspace that has vanished."""
        return cls(iter(()), Walk(root=-1), None)

    def whole(self) -> Self:
        """Itself, when all of it has been found."""
        deque(self, maxlen=0)
        return self

    @property
    def version(self) -> str:
        """Changes with anything that the listing tells."""
        return f"{self._digest.hexdigest()}{'+' * self.truncated}"


@frozen
class Usage:
    """What a workspace takes."""

    bytes: int
    files: int
    entries: int
    """Files and everything else that takes an inode; what a limit on files has to count."""
    complete: bool
    """False when a bound was reached: it is at least this much."""


@frozen(eq=False)
class Workspace:
    """A directory, held by a descriptor: whatever takes its name later, this stays the same one."""

    fd: int

    @classmethod
    def open(cls, base: int, name: str) -> Self:
        """Open the workspace ``name`` of the base directory ``base``.

        :raises WorkspaceError: when it does not exist, or is not a directory itself.
        """
        with _telling():
            return cls(open_directory(base, parts_of(os.fsencode(name)), os.O_PATH))

    @classmethod
    def create(cls, base: int, name: str, owner: Owner | None = None) -> Self:
        """Make the workspace; ``owner`` takes effect when the service is root.

        :raises WorkspaceError: Exists, when there is something of this name.
        """
        with _telling():
            os.mkdir(name, 0o700, dir_fd=base)
            fd = open_directory(base, [os.fsencode(name)])
            try:
                if owner is not None and os.geteuid() == 0:
                    os.fchown(fd, owner.uid, owner.gid)
                return cls(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd))
            finally:
                os.close(fd)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Looking

    def listing(
        self,
        limit: int | None = None,
        after: bytes = b"",
        depth: int | None = None,
        most: int = MOST_ENTRIES,
        matches: Callable[[str], object] | None = None,
    ) -> Listing:
        """The regular files, ``limit`` at most, that come after the path ``after``.

        ``depth`` 1 is the top level only. ``most`` bounds what is looked at, ``matches`` says of a path
        as it is displayed whether it is wanted. Directories that their permissions hide are left out.
        """
        walk = Walk(root=self.fd, depth=depth, after=after, most=most)
        found = (entry for entry in self.files(walk) if matches is None or matches(entry.path))
        return Listing(found, walk, limit)

    def files(self, walk: Walk) -> Iterator[Entry]:
        """The regular files that a walk through the workspace finds, one after the other."""
        with _telling():
            for name, status in walk:
                if not stat.S_ISREG(status.st_mode) or is_temporary(name):
                    continue
                raw = walk.path(name)
                if len(raw) > _PATH_BYTES:  # 5,000 levels of long names would be gigabytes of paths
                    walk.complete = False
                    continue
                yield Entry(raw, status.st_size, status.st_mtime)

    def measure(self, most: int = MOST_ENTRIES, seconds: float | None = None) -> Usage:
        """Count bytes and files, until ``most`` entries were seen or ``seconds`` have passed.

        A file with several names counts once. Directories that forbid their owner to look get the
        permission back, so that nothing can be hidden in them.
        """
        size = files = entries = 0
        seen: set[tuple[int, int]] = set()
        deadline = None if seconds is None else time.monotonic() + seconds
        walk = Walk(root=self.fd, most=most, deadline=deadline, force=True)
        with _telling():
            for _, status in walk:
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                entries += 1
                files += stat.S_ISREG(status.st_mode)
                size += _taken(status)
        return Usage(size, files, entries, walk.complete)

    def newest_mtime(self) -> float:
        """The latest change in the tree, the directory itself included, in seconds since the epoch."""
        with _telling():
            newest = os.stat(self.fd).st_mtime
            for _, status in Walk(root=self.fd):
                newest = max(newest, status.st_mtime)
            return newest

    def is_empty(self) -> bool:
        """Nothing at all is in it."""
        with _telling():
            return not any(True for _ in Walk(root=self.fd, depth=1))

    # Reading and writing

    def open_file(self, path: bytes) -> tuple[int, os.stat_result]:
        """Open a regular file for reading; the caller closes the descriptor. Never waits.

        Send at most the size that the status tells: the file can change meanwhile.

        :raises WorkspaceError: NotFound, NotRegular, Outside, Denied, Busy.
        """
        with _telling():
            fd = open_beneath(self.fd, parts_of(path), os.O_RDONLY)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise NotRegular("not a regular file")
                # A hard link can bring in a file that the agent may not read, but a service that is
                # root may. Only an agent without a sandbox could make one.
                if status.st_nlink > 1 and status.st_uid != os.stat(self.fd).st_uid:
                    raise Denied("the file belongs to another user")
            except BaseException:
                os.close(fd)
                raise
            return fd, status

    def upload(self, path: bytes, *, replace: bool = True) -> Upload:
        """Begin to write a file: nobody sees it, or its parents that are missing, before ``Upload.commit``.

        :raises WorkspaceError: Exists (without ``replace``), NotRegular for a directory, or when a part
            of the path is none, Outside, Unnameable, Denied.
        """
        with _telling():
            return Upload.begin(self.fd, parts_of(path), replace=replace)

    def write_file(self, path: bytes, data: Iterable[bytes], *, replace: bool = True) -> os.stat_result:
        """Write a whole file at once; as :meth:`upload`."""
        with self.upload(path, replace=replace) as upload:
            for piece in data:
                upload.write(piece)
            return upload.commit()

    def remove(self, path: bytes) -> None:
        """Remove a regular file.

        :raises WorkspaceError: NotFound, NotRegular, Outside, Denied.
        """
        *above, name = parts_of(path)
        with _telling():
            parent = open_directory(self.fd, above, os.O_PATH)
            try:
                if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise NotRegular("not a regular file")
                os.unlink(name, dir_fd=parent)
            finally:
                os.close(parent)


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refused(error) from None


def _taken(status: os.stat_result) -> int:
    """The bytes that count: a file's size, but its disk space where that is more.

    Space can be allocated beyond the end of a file (``fallocate --keep-size``).
    """
    allocated = status.st_blocks * 512
    blocks = -(-status.st_size // status.st_blksize) if status.st_blksize else 0
    return status.st_size if allocated <= blocks * status.st_blksize else allocated


def displayed(name: bytes) -> str:
    """A name that can be shown: bytes that are not UTF-8 as ``\\xff``, control characters as ``\\u202e``.

    Characters that reverse or hide what stands beside them could make one name look like another.
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # Joiners belong to Persian words and to emoji, and reorder nothing.
    if char in "\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cf", "Zl", "Zp"):
        return char
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
