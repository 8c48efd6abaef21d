"""A session's files, with an agent that means harm."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from qchat.adapters.beneath import Busy, Denied, Exists, NotFound, NotRegular, Outside, WorkspaceError
from qchat.adapters.identity import Owner
from qchat.adapters.workspace import Entry, Workspace, displayed

NAME = "0b6d1dcc-5cb5-4f08-8d2c-5a5bd2d6a0aa"


@pytest.fixture
def base(place: Path) -> Iterator[int]:
    fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def root(place: Path) -> Path:
    path = place / NAME
    path.mkdir()
    return path


@pytest.fixture
def workspace(base: int, root: Path) -> Iterator[Workspace]:
    with Workspace.open(base, NAME) as workspace:
        yield workspace


def read(workspace: Workspace, path: bytes) -> bytes:
    fd, status = workspace.open_file(path)
    with open(fd, "rb") as file:
        return file.read(status.st_size)


def paths(entries: Iterable[Entry]) -> list[str]:
    return [entry.path for entry in entries]


# Opening


def test_open_missing(base: int) -> None:
    """A session without a directory is told from one with an empty directory."""
    with pytest.raises(NotFound):
        Workspace.open(base, NAME)


@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "/etc", "a\0b"])
def test_open_strange_name(base: int, name: str) -> None:
    """A name that is not a plain one opens nothing."""
    with pytest.raises(WorkspaceError):
        Workspace.open(base, name)


def test_open_link(base: int, place: Path, resolver: str) -> None:
    """A workspace that was replaced by a symbolic link is not opened."""
    (place / NAME).symlink_to("/etc")
    with pytest.raises(Outside):
        Workspace.open(base, NAME)


def test_create(base: int, place: Path) -> None:
    """A workspace is made for its owner alone, and only once."""
    Workspace.create(base, NAME, Owner(65534, 65534)).close()
    status = (place / NAME).stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == (65534 if os.geteuid() == 0 else os.geteuid())
    with pytest.raises(Exists):
        Workspace.create(base, NAME)


# Reading


def test_read(workspace: Workspace, root: Path, resolver: str) -> None:
    """A file is read, whatever its depth and name."""
    (root / "a b" / "ü").mkdir(parents=True)
    (root / "a b" / "ü" / "\n.txt").write_bytes(b"hello")
    assert read(workspace, "a b/ü/\n.txt".encode()) == b"hello"


def test_read_name_that_is_not_utf8(workspace: Workspace, root: Path, resolver: str) -> None:
    """A file whose name is not UTF-8 is read by its bytes."""
    Path(os.fsdecode(bytes(root) + b"/\xff\xfe")).write_bytes(b"raw")
    assert read(workspace, b"\xff\xfe") == b"raw"


@pytest.mark.parametrize("path", [b"/etc/passwd", b"../x", b"a/../../x", b"", b".", b"a//b", b"a/", b"./a"])
def test_read_outside(workspace: Workspace, root: Path, path: bytes) -> None:
    """A path that leads out, or is not in its plain form, is refused by name."""
    (root / "a").mkdir()
    with pytest.raises(Outside):
        workspace.open_file(path)


@pytest.mark.parametrize("path", [b"nothing", b"no/such/dir", b"file/below", b"x" * 300, b"a\0b"])
def test_read_missing(workspace: Workspace, root: Path, path: bytes, resolver: str) -> None:
    """What does not exist, or cannot, is not found."""
    (root / "file").touch()
    with pytest.raises(NotFound):
        workspace.open_file(path)


@pytest.mark.parametrize("target", ["/etc/passwd", "/proc/self/environ", "inside", "/proc/self/root"])
@pytest.mark.parametrize("path", [b"link", b"link/x", b"dir/link"])
def test_read_link(workspace: Workspace, root: Path, target: str, path: bytes, resolver: str) -> None:
    """A symbolic link is never followed, not even one that stays inside."""
    (root / "dir").mkdir()
    (root / "inside").mkdir()
    (root / "inside" / "x").touch()
    (root / "link").symlink_to(target)
    (root / "dir" / "link").symlink_to(target)
    with pytest.raises(Outside):
        workspace.open_file(path)


def test_read_what_is_not_a_file(workspace: Workspace, root: Path, resolver: str) -> None:
    """A directory, a FIFO that nobody writes to and a socket are refused at once."""
    (root / "dir").mkdir()
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(root, os.O_PATH)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    for name in (b"dir", b"fifo", b"socket"):
        with pytest.raises(NotRegular):
            workspace.open_file(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_read_device(workspace: Workspace, root: Path) -> None:
    """A device is refused."""
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(NotRegular):
        workspace.open_file(b"null")


def test_read_leased(workspace: Workspace, root: Path) -> None:
    """A write lease that the agent holds on its own file makes nobody wait."""
    (root / "leased").write_bytes(b"x")
    code = (
        "import fcntl, os, signal, sys\n"
        "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root / "leased")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as agent:
        assert agent.stdout
        assert agent.stdout.readline() == b"held\n"
        with pytest.raises(Busy):
            workspace.open_file(b"leased")
        agent.communicate()
    assert read(workspace, b"leased") == b"x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_read_hard_link_to_another_users_file(workspace: Workspace, place: Path, root: Path) -> None:
    """A hard link cannot make a service that is root read what its agent may not."""
    (place / "secret").write_bytes(b"secret")
    os.chown(root, 65534, 65534)
    os.link(place / "secret", root / "mine")
    with pytest.raises(Denied):
        workspace.open_file(b"mine")


def test_read_beyond_the_longest_path(workspace: Workspace, root: Path, resolver: str) -> None:
    """A file that lies deeper than a path can say is read."""
    below = make_deep(root, 60, b"d" * 200, b"deep")
    assert len(below) > 4096
    assert read(workspace, below) == b"deep"


def make_deep(root: Path, levels: int, name: bytes, data: bytes) -> bytes:
    """Nest directories, with a file at the bottom; its path, relative to ``root``."""
    fd = os.open(root, os.O_PATH)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
    os.write(file, data)
    os.close(file)
    os.close(fd)
    return b"/".join([name] * levels + [b"file"])


# Listing


def fill(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


TREE = ["a", "a.txt", "a-b/c", "ab/x", "aa/y/z", "aa/y.z", "aa/y0", ".hidden", "Z", "é/ö", "b/c/d/e/f"]


def test_listing(workspace: Workspace, root: Path) -> None:
    """All regular files are listed in the order of their paths' bytes, with size and time."""
    fill(root, TREE)
    listing = workspace.listing()
    entries = [*listing]
    assert paths(entries) == sorted(TREE, key=str.encode)
    assert not listing.truncated
    entry = next(entry for entry in entries if entry.path == "é/ö")
    assert entry == Entry("é/ö".encode(), 5, (root / "é/ö").stat().st_mtime)
    assert (entry.name, entry.path) == ("ö", "é/ö")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_listing_in_pages(workspace: Workspace, root: Path, limit: int) -> None:
    """Pages of any size add up to the whole list."""
    fill(root, TREE)
    found: list[Entry] = []
    while True:
        page = workspace.listing(limit, found[-1].raw if found else b"")
        found += page
        if not page.truncated:
            break
        assert page.count == limit
    assert paths(found) == sorted(TREE, key=str.encode)


def test_listing_goes_on_after_a_file_that_is_gone(workspace: Workspace, root: Path) -> None:
    """A page begins after a path, whether that still exists or not."""
    fill(root, TREE)
    assert paths(workspace.listing(2, b"aa/y0/never")) == ["ab/x", "b/c/d/e/f"]


def test_listing_depth(workspace: Workspace, root: Path) -> None:
    """The depth bounds how far down files are listed."""
    fill(root, ["a", "b/c", "b/d/e"])
    assert paths(workspace.listing(depth=1)) == ["a"]
    assert paths(workspace.listing(depth=2)) == ["a", "b/c"]


def test_listing_is_bounded(workspace: Workspace, root: Path) -> None:
    """A workspace that is too large is listed in part, and says so."""
    fill(root, [f"{n}" for n in range(50)])
    listing = workspace.listing(most=20)
    assert len([*listing]) == 20
    assert listing.truncated


def test_listing_shows_only_files(workspace: Workspace, root: Path) -> None:
    """Links, FIFOs and empty directories are not listed, nor what links lead to."""
    (root / "empty").mkdir()
    os.mkfifo(root / "fifo")
    (root / "etc").symlink_to("/etc")
    (root / "passwd").symlink_to("/etc/passwd")
    assert [*workspace.listing()] == []


def test_listing_deep(workspace: Workspace, root: Path) -> None:
    """Five thousand levels are listed, in order, with few descriptors."""
    below = make_deep(root, 5000, b"d", b"x")
    (root / "d" / "e").touch()
    (root / "d" / "d" / "a").touch()
    assert [entry.raw for entry in workspace.listing()] == [b"d/d/a", below, b"d/e"]


def test_listing_leaves_out_endless_paths(workspace: Workspace, root: Path) -> None:
    """A path that is too long for anyone to use is left out, and the listing says so."""
    make_deep(root, 100, b"d" * 255, b"x")
    (root / "short").touch()
    listing = workspace.listing()
    assert paths(listing) == ["short"]
    assert listing.truncated


def test_listing_branches_at_every_level(workspace: Workspace, root: Path, resolver: str) -> None:
    """A deep tree with files on the way back is listed whole."""
    names = ["/".join(["d"] * depth + ["z"]) for depth in range(150)]
    fill(root, names)
    assert paths(workspace.listing()) == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain.txt", "plain.txt"),
        ("文件.txt".encode(), "文件.txt"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"a\nb", "a\\x0ab"),
        ("\u202etxt.exe".encode(), "\\u202etxt.exe"),
        ("\u2066x".encode(), "\\u2066x"),
        (b"\x1b[31m", "\\x1b[31m"),
        ("\u200bx\ufeff".encode(), "\\u200bx\\ufeff"),
        ("👨\u200d👩".encode(), "👨\u200d👩"),
        (b"\xed\xb2\x80", "\\xed\\xb2\\x80"),
    ],
)
def test_displayed(raw: bytes, shown: str) -> None:
    """Names are shown as they are, except what could deceive or cannot be text."""
    assert displayed(raw) == shown
    displayed(raw).encode()


# Writing


def test_write(workspace: Workspace, root: Path, resolver: str) -> None:
    """A file is written, its parents are made, and nothing else is left."""
    status = workspace.write_file(b"a/b/\xff", [b"he", b"llo"])
    assert status.st_size == 5
    assert read(workspace, b"a/b/\xff") == b"hello"
    assert os.listdir(root / "a" / "b") == [os.fsdecode(b"\xff")]


def test_write_replaces(workspace: Workspace, root: Path) -> None:
    """A file is replaced whole and stays executable; readers of the old one keep it."""
    (root / "run.sh").write_bytes(b"old")
    (root / "run.sh").chmod(0o4755)
    with (root / "run.sh").open("rb") as old:
        workspace.write_file(b"run.sh", [b"new"])
        assert old.read() == b"old"
    assert (root / "run.sh").read_bytes() == b"new"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755


@pytest.mark.parametrize("unnamed", [True, False])
def test_write_is_seen_when_complete(
    workspace: Workspace, root: Path, unnamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload is neither listed nor readable before it is committed, and leaves nothing when it is not."""
    if not unnamed:
        monkeypatch.setattr("qchat.adapters.upload.os.O_TMPFILE", os.O_DIRECTORY)
    with workspace.upload(b"file") as upload:
        upload.write(b"half")
        assert [*workspace.listing()] == []
        with pytest.raises(NotFound):
            workspace.open_file(b"file")
    assert os.listdir(root) == []
    with workspace.upload(b"file") as upload:
        upload.write(b"whole")
        upload.commit()
    assert os.listdir(root) == ["file"]
    with workspace.upload(b"other", replace=False) as upload:
        upload.commit()
    assert sorted(os.listdir(root)) == ["file", "other"]


def test_write_without_replacing(workspace: Workspace, root: Path) -> None:
    """Without replacing, a file that exists is kept, also when it appeared during the upload."""
    (root / "a").write_bytes(b"old")
    with pytest.raises(Exists):
        workspace.upload(b"a", replace=False)
    with workspace.upload(b"b", replace=False) as upload:
        (root / "b").write_bytes(b"first")
        with pytest.raises(Exists):
            upload.commit()
    assert (root / "b").read_bytes() == b"first"
    assert sorted(os.listdir(root)) == ["a", "b"]


def test_write_onto_a_directory(workspace: Workspace, root: Path) -> None:
    """A directory is not replaced, also when it appeared during the upload."""
    (root / "dir").mkdir()
    with pytest.raises(NotRegular):
        workspace.upload(b"dir")
    with workspace.upload(b"late") as upload:
        (root / "late").mkdir()
        with pytest.raises(NotRegular):
            upload.commit()
    assert sorted(os.listdir(root)) == ["dir", "late"]


def test_write_through_links(workspace: Workspace, root: Path, place: Path, resolver: str) -> None:
    """A link on the way is refused; a link in the file's place is replaced, not followed."""
    (place / "other").mkdir()
    (place / "other" / "file").write_bytes(b"theirs")
    (root / "dir").symlink_to(place / "other")
    (root / "file").symlink_to(place / "other" / "file")
    with pytest.raises(Outside):
        workspace.write_file(b"dir/file", [b"x"])
    workspace.write_file(b"file", [b"mine"])
    assert (place / "other" / "file").read_bytes() == b"theirs"
    assert (root / "file").read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_write_gives_to_the_owner(workspace: Workspace, root: Path) -> None:
    """What a service that is root writes belongs to the workspace's owner."""
    os.chown(root, 1234, 2345)
    workspace.write_file(b"a/b", [b"x"])
    for path in (root / "a", root / "a" / "b"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_remove(workspace: Workspace, root: Path, place: Path, resolver: str) -> None:
    """A file is removed; directories, links and what they lead to are not."""
    fill(root, ["a/b", "keep"])
    workspace.remove(b"a/b")
    assert next(iter(workspace.listing())).path == "keep"
    (root / "link").symlink_to("keep")
    (root / "up").symlink_to(".")
    for path, error in [(b"a", NotRegular), (b"link", NotRegular), (b"up/keep", Outside), (b"no", NotFound)]:
        with pytest.raises(error):
            workspace.remove(path)
    assert (root / "keep").exists()


# Measuring


def test_measure(workspace: Workspace, root: Path) -> None:
    """Bytes and files are counted; a file with two names once."""
    fill(root, ["a", "b/cc", "b/ddd"])
    os.link(root / "a", root / "b" / "again")
    usage = workspace.measure()
    assert usage.files == 3
    assert usage.entries == 4
    assert usage.complete
    directory = usage.bytes - (1 + 4 + 5)
    assert 0 <= directory <= 2 * 4096


def test_measure_allocated(workspace: Workspace, root: Path) -> None:
    """Disk space that a file holds beyond its end counts."""
    (root / "empty").touch()
    subprocess.run(["fallocate", "--keep-size", "-l", "10M", root / "empty"], check=True)
    assert (root / "empty").stat().st_size == 0
    assert workspace.measure().bytes >= 10 * 1024**2


def test_measure_is_bounded(workspace: Workspace, root: Path) -> None:
    """A measurement that would take too long stops, and says so."""
    fill(root, [f"d{n}/f" for n in range(50)])
    usage = workspace.measure(most=20)
    assert not usage.complete
    assert 0 < usage.entries <= 20
    assert not workspace.measure(seconds=-1).complete


def test_measure_ignores_what_links_lead_to(workspace: Workspace, root: Path) -> None:
    """A link counts as itself."""
    (root / "usr").symlink_to("/usr")
    assert workspace.measure().entries == 1


def test_age_and_emptiness(workspace: Workspace, root: Path) -> None:
    """The age of a tree is its newest change; a directory with anything in it is not empty."""
    os.utime(root, (1000, 1000))
    assert workspace.is_empty()
    assert workspace.newest_mtime() == 1000
    fill(root, ["a/b"])
    for path, when in [(root / "a" / "b", 3000), (root / "a", 2000), (root, 1000)]:
        os.utime(path, (when, when))
    assert workspace.newest_mtime() == 3000
    assert not workspace.is_empty()


def test_no_descriptor_is_left(workspace: Workspace, root: Path, resolver: str) -> None:
    """Nothing that was opened stays open, whether it worked or not."""
    make_deep(root, 100, b"d", b"x")
    (root / "link").symlink_to("/etc")
    before = os.listdir("/proc/self/fd")
    for path in (b"d/d", b"link/passwd", b"link", b"no", b"no/no", b"d/d/d/no"):
        with pytest.raises(WorkspaceError):
            workspace.open_file(path)
        with pytest.raises(WorkspaceError):
            workspace.remove(path)
    for path in (b"d/d", b"link/passwd"):
        with pytest.raises(WorkspaceError):
            workspace.write_file(path, [])
    workspace.write_file(b"new/file", [b"x"])
    assert workspace.listing(limit=1).whole().truncated
    workspace.listing().whole()
    workspace.measure()
    assert os.listdir("/proc/self/fd") == before
    assert fcntl.fcntl(workspace.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
