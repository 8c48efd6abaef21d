"""Transcripts: what the CLI of one turn wrote, byte for byte, in an append-only file."""

import hashlib
import os
import threading
from pathlib import Path

from attrs import define, field

MAX_STDERR = 1024 * 1024
"""Bytes of stderr that are kept on disk."""
STDERR_TAIL = 64 * 1024
"""Bytes of stderr that are kept in memory, for the error's detail."""


@define(eq=False)
class Transcript:
    """The stdout of a running turn, as it is written and read at the same time."""

    fd: int
    size: int = 0
    _hash: "hashlib._Hash" = field(factory=hashlib.sha256)
    _synced: int = 0
    _open: threading.Lock = field(factory=threading.Lock)
    """Held while the descriptor is used in a thread: its number must not become another file's meanwhile."""

    @classmethod
    def create(cls, path: Path) -> "Transcript":
        """:raises OSError: also when there is one already: no turn is ever written twice."""
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600))

    def append(self, data: bytes) -> None:
        """Write all of ``data``.

        :raises OSError: when the disk is full; what fitted has been written and counted.
        """
        while data:
            written = os.write(self.fd, data)
            self._hash.update(data[:written])
            self.size += written
            data = data[written:]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def dirty(self) -> bool:
        return self._synced < self.size

    def sync(self) -> None:
        """Bring it to the disk, unless it is closed; for a thread."""
        with self._open:
            if self.fd >= 0:
                size = self.size
                os.fdatasync(self.fd)
                self._synced = size

    def close(self) -> None:
        """Close it, once it is not being synced; for a thread."""
        with self._open:
            os.close(self.fd)
            self.fd = -1


@define(eq=False)
class Stderr:
    """The stderr of a running turn: always drained, kept up to a bound."""

    path: Path
    tail: bytearray = field(factory=bytearray)
    _size: int = 0

    def append(self, data: bytes) -> None:
        self.tail += data
        del self.tail[:-STDERR_TAIL]
        kept = data[: max(0, MAX_STDERR - self._size)]
        if kept:
            self._size += len(kept)
            try:
                with open(self.path, "ab") as file:
                    file.write(kept)
            except OSError:  # a remark that could not be kept must not cost the answer
                self._size = MAX_STDERR


def digest(path: Path) -> tuple[int, str]:
    """(length, SHA-256 in hexadecimal) of a transcript; (0, that of nothing) when there is none."""
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), sha256
    except FileNotFoundError:
        return 0, hashlib.sha256().hexdigest()
