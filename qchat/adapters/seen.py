"""What of the host an agent is shown: a path, and the descriptor that it is held by."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from attrs import frozen

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Directories beneath the root that hold the system; links into /usr on most machines."""


@frozen
class Seen:
    """``path`` is where agents see it."""

    path: str
    fd: int

    @classmethod
    def directory(cls, path: Path, stack: ExitStack) -> Self:
        """A directory itself, not a link in its place; closed with ``stack``.

        :raises OSError: when it cannot be opened.
        """
        return cls._open(path, os.O_DIRECTORY | os.O_NOFOLLOW, stack)

    @classmethod
    def anything(cls, path: Path, stack: ExitStack) -> Self:
        """A file or directory, or what a link leads to; closed with ``stack``.

        :raises OSError: when it cannot be opened.
        """
        return cls._open(path, 0, stack)

    @classmethod
    def _open(cls, path: Path, flags: int, stack: ExitStack) -> Self:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC | flags)
        stack.callback(os.close, fd)
        return cls(str(path), fd)


def memory(data: bytes, stack: ExitStack) -> int:
    """A descriptor to read ``data`` from; closed with ``stack``."""
    fd = os.memfd_create("qchat", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
