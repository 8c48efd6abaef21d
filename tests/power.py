"""A disk that loses power: a VFS of SQLite that notes what was written and what was synced.

What a file system may keep of it after a power cut is made again from the notes, at any instant: all
that was synced, and of the rest any part in any order, torn at the borders of sectors.
"""

import _sqlite3
import ctypes
import random
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path

from attrs import define, field, frozen

SECTOR = 512
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)  # it keeps the name's address
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)


class _Methods(Structure):
    """sqlite3_io_methods"""

    _fields_ = [  # as ctypes wants it
        ("version", c_int),
        ("close", _CLOSE),
        ("read", c_void_p),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", c_void_p * 13),
    ]


class _File(Structure):
    """sqlite3_file"""

    _fields_ = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """sqlite3_vfs"""

    _fields_ = [
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("following", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
        ("others", c_void_p * 16),
    ]


@frozen
class Write:
    path: Path
    offset: int
    data: bytes


@frozen
class Truncate:
    path: Path
    size: int


@frozen
class Sync:
    path: Path


@frozen
class Delete:
    path: Path


Note = Write | Truncate | Sync | Delete


@define(eq=False)
class Disk:
    """What happened to the files, in order."""

    notes: list[Note] = field(factory=list)

    def after_power_cut(self, instant: int, rng: random.Random) -> dict[Path, bytes]:
        """What may be there when the power fails after the first ``instant`` notes."""
        files: dict[Path, bytearray] = {}
        notes = self.notes[:instant]
        synced = {note.path: number for number, note in enumerate(notes) if isinstance(note, Sync)}
        for number, note in enumerate(notes):
            kept = number < synced.get(note.path, -1)
            match note:
                case Write(path, offset, data):
                    _write(files.setdefault(path, bytearray()), offset, data, None if kept else rng)
                case Truncate(path, size) if kept or rng.random() < 0.5:
                    del files.setdefault(path, bytearray())[size:]
                case Delete(path) if kept or rng.random() < 0.5:
                    files.pop(path, None)
        return {path: bytes(content) for path, content in files.items()}


def _write(file: bytearray, offset: int, data: bytes, rng: random.Random | None) -> None:
    end = offset + len(data)
    start = offset
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        if rng is None or rng.random() < 0.5:
            file.extend(bytes(max(0, stop - len(file))))
            file[start:stop] = data[start - offset : stop - offset]
        start = stop


@contextmanager
def noted_disk() -> Iterator[Disk]:
    """Every database that is opened meanwhile, by way of the standard library, is noted."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))  # None: in the interpreter itself
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    real = library.sqlite3_vfs_find(None)
    disk = Disk()
    vfs = _Vfs.from_buffer_copy(real.contents)
    vfs.name = b"noted"
    kept = _note_files(vfs, real.contents, disk)
    library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_register(real, 1)
        library.sqlite3_vfs_unregister(ctypes.byref(vfs))
        kept.clear()


def _note_files(vfs: _Vfs, real: _Vfs, disk: Disk) -> list[object]:
    """Have ``vfs`` note what is done; the result is to be kept as long as it is in use."""
    paths: dict[int, Path] = {}
    tables: dict[int, _Methods] = {}

    def open_(its: int, name: int | None, file: int, flags: int, out: int) -> int:
        result = int(real.open(its, name, file, flags, out))
        opened = cast(file, POINTER(_File)).contents
        if result == 0 and name is not None and opened.methods:
            paths[file] = Path(ctypes.string_at(name).decode())
            address = ctypes.addressof(opened.methods.contents)
            if address not in tables:
                tables[address] = _noting(opened.methods.contents, paths, disk)
            opened.methods = ctypes.pointer(tables[address])
        return result

    def delete(its: int, name: bytes, sync_directory: int) -> int:
        disk.notes.append(Delete(Path(name.decode())))
        if sync_directory:
            disk.notes.append(Sync(Path(name.decode())))
        return int(real.delete(its, name, sync_directory))

    vfs.open, vfs.delete = _OPEN(open_), _DELETE(delete)
    return [vfs, tables]


def _noting(real: _Methods, paths: dict[int, Path], disk: Disk) -> _Methods:
    def write(file: int, data: int, size: int, offset: int) -> int:
        if file in paths:
            disk.notes.append(Write(paths[file], offset, ctypes.string_at(data, size)))
        return int(real.write(file, data, size, offset))

    def truncate(file: int, size: int) -> int:
        disk.notes.append(Truncate(paths[file], size))
        return int(real.truncate(file, size))

    def sync(file: int, flags: int) -> int:
        result = int(real.sync(file, flags))
        disk.notes.append(Sync(paths[file]))
        return result

    noting = _Methods.from_buffer_copy(real)
    noting.write, noting.truncate, noting.sync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
    return noting
