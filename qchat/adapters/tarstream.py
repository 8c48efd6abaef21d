"""Tar archives of any size in little memory, sparse files as sparse members.

``tarfile`` writes no sparse files, remembers every member, and believes headers: it reads one of any
length into memory. The format is POSIX.1-2001 (pax), with GNU's sparse format 1.0; ``tar`` and
``tarfile`` read both. What is read here is only what is written here.
"""

import gzip
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from attrs import define, field, frozen

BLOCK = 512
PIECE_BYTES = 256 * 1024
MAX_HEADER_BYTES = 1024 * 1024
MOST_SEGMENTS = 20_000
"""Pieces of a sparse file that are told apart; beyond it holes are written as zeros."""
Segment = tuple[int, int]
"""(offset, length) of data in a file with holes."""


@define(eq=False)
class TarWriter:
    _file: IO[bytes] | gzip.GzipFile

    def close(self) -> None:
        """Write the end of the archive."""
        self._file.write(bytes(2 * BLOCK))

    def add_bytes(self, name: str, data: bytes, mtime: float) -> None:
        """Add a small file of ours."""
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(data), int(mtime), 0o600
        self._header(info)
        self._padded(data)

    def add_entry(self, name: bytes, status: os.stat_result, kind: bytes, target: bytes = b"") -> None:
        """Add what has no content: a directory, or a link to ``target``."""
        info = _info(name, status)
        info.type, info.linkname = kind, target.decode("utf-8", "surrogateescape")
        self._header(info)

    def add_file(self, name: bytes, status: os.stat_result, fd: int, size: int | None = None) -> None:
        """Add ``size`` bytes of an open file, by default what ``status`` says.

        A file that has become shorter since is filled up with zeros.
        """
        size = status.st_size if size is None else size
        info = _info(name, status)
        segments = [(0, size)] if status.st_blocks * BLOCK >= size else _segments(fd, size)
        if segments[0] == (0, size):
            info.size = size
            self._header(info)
            self._content(fd, segments, b"")
            return
        table = _table(segments)
        info.size = len(table) + sum(length for _, length in segments)
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": info.name,
            "GNU.sparse.realsize": str(size),
        }
        self._header(info)
        self._content(fd, segments, table)

    def _header(self, info: tarfile.TarInfo) -> None:
        self._file.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, fd: int, segments: list[Segment], table: bytes) -> None:
        written = self._file.write(table)
        for offset, length in segments:
            for piece in _pieces(fd, offset, length):
                written += self._file.write(piece)
        self._file.write(bytes(-written % BLOCK))

    def _padded(self, data: bytes) -> None:
        self._file.write(data)
        self._file.write(bytes(-len(data) % BLOCK))


def _info(name: bytes, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid, info.mtime = status.st_uid, status.st_gid, status.st_mtime
    return info


def _pieces(fd: int, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    while offset < end:
        wanted = min(PIECE_BYTES, end - offset)
        yield os.pread(fd, wanted, offset).ljust(wanted, b"\0")
        offset += wanted


def _segments(fd: int, size: int) -> list[Segment]:
    """Where a file has data."""
    found: list[Segment] = []
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError:  # ENXIO: a hole up to the end
            break
        if start >= size:
            break
        offset = size if len(found) == MOST_SEGMENTS else min(size, end)
        found.append((start, offset - start))
    return [*found, (size, 0)]


def _table(segments: list[Segment]) -> bytes:
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    return text + bytes(-len(text) % BLOCK)


class BadArchive(Exception):
    """This is not an archive that was written here; the text says what is wrong with it."""


@frozen(kw_only=True)
class Member:
    """What an archive says of one file. Nothing of it is to be trusted."""

    name: bytes
    kind: bytes
    """As in ``tarfile``: REGTYPE, DIRTYPE, SYMTYPE, LNKTYPE, or anything."""
    target: bytes
    """Where a link leads."""
    mode: int
    uid: int
    gid: int
    mtime: float
    size: int
    """Of the file, holes included."""
    segments: tuple[Segment, ...]
    """Where its data goes."""


@define(eq=False)
class TarReader:
    """Members, one after the other; take the content of each, or it is skipped."""

    _file: IO[bytes] | gzip.GzipFile
    _content: "Iterator[tuple[int, bytes]]" = field(factory=lambda: iter(()))

    def __iter__(self) -> Iterator[Member]:
        """:raises BadArchive: for anything that :class:`TarWriter` does not write."""
        try:
            while (member := self._next()) is not None:
                yield member
                for _ in self._content:
                    pass
            if self._read(MAX_HEADER_BYTES).strip(b"\0") or self._read(1):
                raise BadArchive("there is something after its end")
        except (ValueError, IndexError) as error:
            raise BadArchive(str(error)) from error

    def content(self) -> Iterator[tuple[int, bytes]]:
        """The data of the member that was given last, in pieces: (offset, bytes)."""
        return self._content

    def _next(self) -> Member | None:
        block = self._exactly(BLOCK)
        pax: dict[bytes, bytes] = {}
        if block[156:157] == tarfile.XHDTYPE:
            pax = _records(self._padded(_header_number(block, 124, 12)))
            block = self._exactly(BLOCK)
        if not block.strip(b"\0"):
            return None
        if _checksum(block) != _header_number(block, 148, 8):
            raise BadArchive("a header is damaged")
        stored = _number(pax, b"size", _header_number(block, 124, 12))
        segments: list[Segment] = [(0, stored)]
        size = stored
        if b"GNU.sparse.major" in pax:
            size = _number(pax, b"GNU.sparse.realsize", 0)
            segments = self._table(stored, size)
        self._content = self._data(segments, stored)
        return Member(
            name=pax.get(b"GNU.sparse.name") or pax.get(b"path") or _text(block, 0, 100),
            kind=block[156:157],
            target=pax.get(b"linkpath") or _text(block, 157, 100),
            mode=_header_number(block, 100, 8) & 0o777,
            uid=_number(pax, b"uid", _header_number(block, 108, 8)),
            gid=_number(pax, b"gid", _header_number(block, 116, 8)),
            mtime=_time(pax, _header_number(block, 136, 12)),
            size=size,
            segments=tuple(segments),
        )

    def _table(self, stored: int, size: int) -> list[Segment]:
        table = self._exactly(BLOCK)
        wanted = 2 * int(table.split(b"\n", 1)[0]) + 1
        if not 0 < wanted <= 2 * MOST_SEGMENTS + 10:
            raise BadArchive("a sparse file has too many pieces")
        while table.count(b"\n") < wanted and len(table) < min(stored, MAX_HEADER_BYTES):
            table += self._exactly(BLOCK)
        numbers = [int(text) for text in table.split(b"\n")[1:wanted]]
        segments = list(zip(numbers[::2], numbers[1::2], strict=True))
        end = 0
        for offset, length in segments:
            if offset < end or length < 0:
                raise BadArchive("the pieces of a sparse file overlap")
            end = offset + length
        if end > size or len(table) + sum(length for _, length in segments) != stored:
            raise BadArchive("a sparse file has another size than its pieces")
        return segments

    def _data(self, segments: list[Segment], stored: int) -> Iterator[tuple[int, bytes]]:
        for start, length in segments:
            offset, end = start, start + length
            while offset < end:
                piece = self._exactly(min(PIECE_BYTES, end - offset))
                yield offset, piece
                offset += len(piece)
        self._exactly(-stored % BLOCK)

    def _padded(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise BadArchive("a header is too long")
        return self._exactly(size + -size % BLOCK)[:size]

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise BadArchive("it is cut short")
        return data

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadArchive(f"it is damaged, or cut short: {error}") from error


def _records(data: bytes) -> dict[bytes, bytes]:
    """``"LENGTH NAME=VALUE\\n"``, again and again."""
    found = {}
    while data:
        length = int(data[: data.index(b" ")])
        record, data = data[:length], data[length:]
        name, _, value = record[record.index(b" ") + 1 : -1].partition(b"=")
        if length < 5 or not record.endswith(b"\n"):
            raise BadArchive("a header is damaged")
        found[name] = value
    return found


def _checksum(block: bytes) -> int:
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _text(block: bytes, start: int, length: int) -> bytes:
    return block[start : start + length].split(b"\0", 1)[0]


def _header_number(block: bytes, start: int, length: int) -> int:
    return int(block[start : start + length].strip(b" \0") or b"0", 8)


def _number(pax: dict[bytes, bytes], name: bytes, default: int) -> int:
    value = int(pax[name]) if name in pax else default
    if not 0 <= value < 2**62:
        raise BadArchive(f"{name.decode()} is {value}")
    return value


def _time(pax: dict[bytes, bytes], default: float) -> float:
    value = float(pax.get(b"mtime", default))
    return value if abs(value) < 2**40 else 0.0
