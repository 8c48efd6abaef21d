"""A whole workspace as an archive, made while it is sent: no temporary copy, constant memory."""

import io
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from typing import Literal

from attrs import define

from qchat.adapters.beneath import WorkspaceError
from qchat.adapters.workspace import Entry, Workspace

PIECE_BYTES = 256 * 1024
Kind = Literal["zip", "tar.gz"]


class _Sink(io.RawIOBase):
    """A file object that hands on what is written to it."""

    def __init__(self, write_piece: Callable[[bytes], None]) -> None:
        self.write_piece = write_piece

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # any buffer
        self.write_piece(piece)
        return len(piece)


def write_archive(workspace: Workspace, kind: Kind, write_piece: Callable[[bytes], None]) -> None:
    """Write all regular files of ``workspace``; for a thread. ``write_piece`` may raise to stop it.

    A file that vanishes or cannot be read is left out; one that changes meanwhile is taken as it is found.
    """
    sink = io.BufferedWriter(_Sink(write_piece), PIECE_BYTES)
    listing = workspace.listing()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in listing.entries:
                _zip_one(archive, workspace, entry)
    else:
        with tarfile.open(fileobj=sink, mode="w|gz", format=tarfile.PAX_FORMAT) as tar:
            for entry in listing.entries:
                _tar_one(tar, workspace, entry)
    sink.flush()


def _zip_one(archive: zipfile.ZipFile, workspace: Workspace, entry: Entry) -> None:
    try:
        fd, _ = workspace.open_file(entry.raw)
    except WorkspaceError:
        return
    with open(fd, "rb") as file, archive.open(_info(entry), "w", force_zip64=True) as target:
        while piece := file.read(PIECE_BYTES):
            target.write(piece)


def _info(entry: Entry) -> zipfile.ZipInfo:
    year, month, day, hour, minute, second = time.localtime(entry.modified_time)[:6]
    info = zipfile.ZipInfo(entry.path, (min(max(year, 1980), 2107), month, day, hour, minute, second))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _tar_one(tar: tarfile.TarFile, workspace: Workspace, entry: Entry) -> None:
    try:
        fd, status = workspace.open_file(entry.raw)
    except WorkspaceError:
        return
    with open(fd, "rb") as file:
        info = tarfile.TarInfo(os.fsdecode(entry.raw))
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), status.st_mode & 0o777
        tar.addfile(info, _Exactly(file, info.size))  # type: ignore[arg-type]  # read() is all it needs


@define
class _Exactly:
    """Reads as many bytes as were announced, zeros where a file has shrunk since."""

    file: io.BufferedReader
    left: int

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return self.file.read(size).ljust(size, b"\0")
