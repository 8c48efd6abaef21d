"""Archives: what is written is read again, here and by others; what nobody wrote is refused."""

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qchat.adapters.tarstream import BadArchive, TarReader, TarWriter

MIB = 1024 * 1024


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)


def archive(path: Path, *names: bytes) -> bytes:
    """The file, under each of the names."""
    written = io.BytesIO()
    tar = TarWriter(written)
    with opened(path) as (fd, status):
        for name in names:
            tar.add_file(name, status, fd)
    tar.close()
    return written.getvalue()


def content(tar: TarReader, size: int) -> bytes:
    found = bytearray(size)
    for offset, piece in tar.content():
        found[offset : offset + len(piece)] = piece
    return bytes(found)


NAMES = st.lists(st.binary(min_size=1, max_size=80).map(lambda b: b.replace(b"\0", b"x").replace(b"/", b"y")))


@settings(deadline=None)
@given(parts=NAMES.filter(bool), data=st.binary(max_size=2000))
@example(parts=[b"\xff\xfe"], data=b"")
@example(parts=[b"a" * 255] * 40, data=b"x")
@example(parts=["文件".encode()], data=b"x" * 512)
def test_names_and_bytes_come_back(
    parts: list[bytes], data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any name and any content is read as it was written, by this module and by tarfile."""
    path = tmp_path_factory.getbasetemp() / "tarstream"
    path.write_bytes(data)
    name = b"/".join(parts)
    written = archive(path, name)
    reader = TarReader(io.BytesIO(written))
    for member in reader:
        assert (member.name, member.size, member.kind) == (name, len(data), tarfile.REGTYPE)
        assert content(reader, member.size) == data
    with tarfile.open(fileobj=io.BytesIO(written), encoding="utf-8", errors="surrogateescape") as tar:
        [info] = tar.getmembers()
        assert info.name.encode("utf-8", "surrogateescape") == name.rstrip(b"/")
        file = tar.extractfile(info)
        assert file is not None
        assert file.read() == data


def test_holes_take_no_room(tmp_path: Path) -> None:
    """A sparse file of a gigabyte is written in kilobytes, and comes back with its holes."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(500 * MIB)
        file.write(b"middle")
        file.truncate(1024 * MIB)
    written = archive(path, b"sparse", b"after")
    assert len(written) < MIB
    reader = TarReader(io.BytesIO(written))
    for member in reader:
        assert member.size == 1024 * MIB
        pieces = {offset: piece.rstrip(b"\0") for offset, piece in reader.content()}
        assert {piece for piece in pieces.values() if piece} == {b"begin", b"middle"}
        assert pieces[500 * MIB] == b"middle"
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        extracted = tar.extractfile("after")
        assert extracted is not None
        extracted.seek(500 * MIB)
        assert extracted.read(6) == b"middle"


def test_a_file_that_shrinks_is_filled_up(tmp_path: Path) -> None:
    """A file that becomes shorter while it is read costs only its own end."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * MIB)
    written = io.BytesIO()
    tar = TarWriter(written)
    with opened(path) as (fd, status):
        os.truncate(path, 100)
        tar.add_file(b"short", status, fd)
        tar.add_bytes("next", b"intact", 0)
    tar.close()
    written.seek(0)
    reader = TarReader(written)
    found = {member.name: content(reader, member.size) for member in reader}
    assert found == {b"short": b"x" * 100 + bytes(MIB - 100), b"next": b"intact"}


def test_links_and_directories(tmp_path: Path) -> None:
    """Directories and links keep their permissions, times and targets."""
    written = io.BytesIO()
    tar = TarWriter(written)
    tmp_path.chmod(0o1750)
    status = tmp_path.stat()
    tar.add_entry(b"d/", status, tarfile.DIRTYPE)
    tar.add_entry(b"l", status, tarfile.SYMTYPE, b"../\xff" + b"t" * 300)
    tar.close()
    written.seek(0)
    directory, link = TarReader(written)
    assert (directory.name, directory.kind, directory.mode) == (b"d/", tarfile.DIRTYPE, 0o750)
    assert directory.mtime == status.st_mtime
    assert (directory.uid, directory.gid) == (status.st_uid, status.st_gid)
    assert link.target == b"../\xff" + b"t" * 300
    assert stat.S_IMODE(link.mode) == link.mode <= 0o777


def by_tarfile(**options: object) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("name")
        for name, value in options.items():
            setattr(info, name, value)
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return written.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"x" * 512,
        os.urandom(4096),
        by_tarfile()[:600],
        by_tarfile(size=5000)[:3000],
        by_tarfile() + b"more",
        by_tarfile(pax_headers={"size": "-5"}),
        by_tarfile(pax_headers={"uid": "99999999999999999999999"}),
        by_tarfile(pax_headers={"mtime": "nonsense"}),
        by_tarfile(pax_headers={"comment": "x" * 3 * MIB}),
        by_tarfile(size=512, pax_headers={**SPARSE, "GNU.sparse.realsize": "9"}),
        by_tarfile(size=512, pax_headers={**SPARSE, "GNU.sparse.realsize": "9" * 30}),
    ],
    ids=range(13),
)
def test_anything_else_is_refused(data: bytes) -> None:
    """What this service cannot have written is refused, in little memory and without another error."""
    reader = TarReader(io.BytesIO(data))
    with pytest.raises(BadArchive):
        for _ in reader:
            pass


@settings(deadline=None)  # machines differ
@given(st.data())
def test_damage_never_breaks_the_reader(data: st.DataObject) -> None:
    """An archive with any bytes changed is read or refused, never anything else."""
    damaged = bytearray(by_tarfile(size=700, pax_headers={"path": "n" * 200}))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    reader = TarReader(io.BytesIO(bytes(damaged)))
    try:
        for _ in reader:
            pass
    except BadArchive:
        pass
