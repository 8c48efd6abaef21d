"""A whole workspace as an archive, made while it is sent: no temporary copy, constant memory.

Only zip's own directory grows, by about a kilobyte a file.
"""

import gzip
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator
from typing import Literal

from qchat.adapters.beneath import WorkspaceError
from qchat.adapters.eventloop import give_way
from qchat.adapters.tree import Walk
from qchat.adapters.workspace import Entry, Workspace

PIECE_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
PIECE_SECONDS = 0.05
"""After so long there is a piece, if an empty one: zeros compress to nothing."""
MOST_ENTRIES = 10_000_000
ZIP_TIMES = 315_619_200, 4_354_732_800
"""The first and the last time that zip can tell, less the time zones: 1980 and 2107."""
Kind = Literal["zip", "tar.gz"]


class _Sink(io.RawIOBase):
    """A file object that holds what is written to it until it is taken."""

    def __init__(self) -> None:
        self.held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]  # any buffer
        self.held += view
        return view.nbytes

    def take(self) -> bytes:
        taken = bytes(self.held)
        self.held.clear()
        return taken


def archive_pieces(workspace: Workspace, kind: Kind) -> Iterator[bytes]:
    """All regular files of ``workspace``; for a thread. Pieces may be empty.

    A file that vanishes or cannot be read is left out; one that changes meanwhile is taken as it is found.
    """
    sink = _Sink()
    files = workspace.files(Walk(root=workspace.fd, most=MOST_ENTRIES))
    steps = _zip(workspace, files, sink) if kind == "zip" else _tar(workspace, files, sink)
    due = 0.0
    for _ in steps:
        give_way()
        if len(sink.held) >= PIECE_BYTES or time.monotonic() > due:
            yield sink.take()
            due = time.monotonic() + PIECE_SECONDS
    yield sink.take()


def _zip(workspace: Workspace, files: Iterator[Entry], sink: _Sink) -> Iterator[None]:
    names: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in files:
            if (file := _opened(workspace, entry)) is None:
                continue
            with file, archive.open(_zip_info(entry, names), "w", force_zip64=True) as target:
                while piece := file.read(READ_BYTES):
                    target.write(piece)
                    yield
            yield


def _zip_info(entry: Entry, names: set[str]) -> zipfile.ZipInfo:
    name = entry.path
    while name in names:  # a name with a line break looks like one that spells it out
        name += "_"
    names.add(name)
    first, last = ZIP_TIMES
    info = zipfile.ZipInfo(name, time.localtime(min(max(entry.modified_time, first), last))[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _tar(workspace: Workspace, files: Iterator[Entry], sink: _Sink) -> Iterator[None]:
    # tarfile would remember every member, and take a file in one go.
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=6, filename="") as target:
        for entry in files:
            if (file := _opened(workspace, entry)) is None:
                continue
            with file:
                info = _tar_info(entry, os.fstat(file.fileno()))
                target.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
                left = info.size
                while left:  # as many bytes as were announced, zeros where the file has shrunk since
                    size = min(left, READ_BYTES)
                    target.write(file.read(size).ljust(size, b"\0"))
                    left -= size
                    yield
                target.write(bytes(-info.size % tarfile.BLOCKSIZE))
            yield
        target.write(bytes(2 * tarfile.BLOCKSIZE))


def _tar_info(entry: Entry, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.raw.decode("utf-8", "surrogateescape"))
    info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), status.st_mode & 0o777
    return info


def _opened(workspace: Workspace, entry: Entry) -> io.BufferedReader | None:
    try:
        fd, _ = workspace.open_file(entry.raw)
    except WorkspaceError:
        return None
    return open(fd, "rb")
