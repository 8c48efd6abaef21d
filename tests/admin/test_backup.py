"""Backup and restore: everything comes back, and a bad archive changes nothing."""

import gzip
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qchat.adapters import switch
from qchat.adapters.backup import BackupError, backup
from qchat.adapters.check import check
from qchat.adapters.restore import RestoreError, restore
from qchat.adapters.statedir import StateDir
from qchat.adapters.tarstream import TarWriter
from tests.admin.base import Base
from tests.harness import ROOT

HOUR = 3600


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar.gz"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[StateDir]:
    """Another base directory, locked, where nothing has been."""
    state = StateDir.open(tmp_path / "restored")
    state.lock()
    yield state
    state.unlock()


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a directory: its kind and permissions, and what it holds."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        held: object = None
        if stat.S_ISLNK(status.st_mode):
            held = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                held = (status.st_size, file.read(1000), status.st_mtime)
        found[os.fsdecode(path.relative_to(root))] = (stat.filemode(status.st_mode), held)
    return found


def fill(base: Base) -> str:
    """A session with everything that a workspace can hold."""
    name = base.session(
        files={"a/b.txt": "text", "empty": "", "run.sh": "#!"}, answers=(b"one\n", b"", b"x" * 5000)
    )
    workspace = base.path / name
    (workspace / "run.sh").chmod(0o4755)
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "dangling").symlink_to("nowhere")
    os.link(workspace / "a/b.txt", workspace / "a/hard")
    (workspace / os.fsdecode(b"\xff\n name")).write_text("odd")
    with open(workspace / "sparse", "wb") as file:
        file.truncate(2**40)
    (workspace / "closed").mkdir()
    (workspace / "closed/in").write_text("inside")
    (workspace / "closed").chmod(0o500)
    os.mkfifo(workspace / "pipe")
    (base.state.home(name) / "memory").write_text("what was said")
    base.state.mark_seeded(name)
    base.state.transcript(name, 1).with_suffix(".err").write_text("warning")
    base.state.record(name, 1).write_text("{}")
    return name


def test_everything_comes_back(base: Base, archive: Path, fresh: StateDir) -> None:
    """Files with their permissions, times and links, transcripts, homes and rows are what they were."""
    name = fill(base)
    bare = base.session("bare", files={"f": "bare"})
    expired = base.session("expired", files={"f": "old"})
    made = backup(base.state, archive)
    assert (made.sessions, made.turns, made.left_out) == (3, 3, ())
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert archive.stat().st_size < 100_000
    done = restore(fresh, archive)
    assert (done.sessions, done.turns, done.aside) == (3, 3, None)
    before, after = tree(base.path / name), tree(fresh.base / name)
    del before["pipe"]
    before["run.sh"] = ("-rwxr-xr-x", before["run.sh"][1])  # no set-id bits
    assert after == before
    assert os.path.samefile(fresh.base / name / "a/b.txt", fresh.base / name / "a/hard")
    assert (fresh.base / name / "sparse").stat().st_blocks < 1000
    assert tree(fresh.base / bare) == tree(base.path / bare)
    assert tree(fresh.base / expired) == tree(base.path / expired)
    turns = "1.err", "1.json", "1.out", "2.out", "3.out"
    for turn in turns:
        place = Path(name) / "turns" / turn
        assert (fresh.private / place).read_bytes() == (base.state.private / place).read_bytes()
    assert (fresh.home(name) / "memory").read_text() == "what was said"
    assert not fresh.mark_seeded(name)
    assert Base(fresh).execute("SELECT * FROM turns") == base.execute("SELECT * FROM turns")
    assert Base(fresh).execute("SELECT * FROM sessions") == base.execute("SELECT * FROM sessions")
    assert check(fresh, alone=True, repair=False) == []


def test_homes_can_stay_out(base: Base, archive: Path, fresh: StateDir) -> None:
    """Without homes there are no logins in a backup, and a restored session gets a new one."""
    name = fill(base)
    backup(base.state, archive)
    assert [path for path in names(archive) if path.endswith("home/memory")]
    backup(base.state, archive, homes=False)
    assert not [path for path in names(archive) if "/home" in path]
    restore(fresh, archive)
    assert fresh.mark_seeded(name)


def names(archive: Path) -> list[str]:
    with tarfile.open(archive, errors="surrogateescape") as tar:
        return tar.getnames()


def test_replaces_the_file_when_complete(base: Base, archive: Path) -> None:
    """A backup takes the place of the one before it, and nothing else is left beside it."""
    archive.write_text("yesterday's")
    base.session()
    backup(base.state, archive)
    assert len(names(archive)) > 3
    assert {path.name for path in archive.parent.iterdir()} == {"sessions", archive.name}


def test_a_full_disk_leaves_what_was_there(base: Base, tmp_path: Path) -> None:
    """When the backup cannot be written the one before it stays, and nothing is left beside it."""
    name = base.session()
    (base.path / name / "big").write_bytes(os.urandom(3_000_000))
    target = tmp_path / "out" / "backup"
    target.parent.mkdir()
    target.write_text("yesterday's")
    program = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from qchat.admin import main\n"
        f"main(['backup', {str(target)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SESSIONS_BASE_DIR": str(base.path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert target.read_text() == "yesterday's"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("place", ["sessions/backup", "sessions/.qchat/backup", "missing/backup", "."])
def test_bad_targets_are_refused(base: Base, tmp_path: Path, place: str) -> None:
    """A target in what is backed up, in no directory, or that is no file, is refused with its reason."""
    with pytest.raises(BackupError, match=r"base directory|no directory|regular"):
        backup(base.state, tmp_path / place)


def test_what_was_lost_before_is_told(base: Base, archive: Path, fresh: StateDir) -> None:
    """A transcript that is missing or short when the backup is made is told, and the rest restored."""
    name = base.session(answers=(b"gone", b"short", b"whole"))
    base.state.transcript(name, 1).unlink()
    os.truncate(base.state.transcript(name, 2), 2)
    made = backup(base.state, archive)
    assert len(made.left_out) == 2
    restore(fresh, archive)
    assert not fresh.transcript(name, 1).exists()
    assert fresh.transcript(name, 2).read_bytes() == b"sh"
    assert fresh.transcript(name, 3).read_bytes() == b"whole"


def test_only_what_is_committed_is_in_it(base: Base, archive: Path, fresh: StateDir) -> None:
    """Bytes beyond what a turn's row counts, and transcripts of turns without a row, are not backed up."""
    name = base.session(answers=(b"counted",))
    with open(base.state.transcript(name, 1), "ab") as file:
        file.write(b" and more")
    base.state.transcript(name, 2).write_bytes(b"of no turn")
    backup(base.state, archive)
    restore(fresh, archive)
    assert fresh.transcript(name, 1).read_bytes() == b"counted"
    assert not fresh.transcript(name, 2).exists()


def test_a_turn_that_waited_does_not_run_again(base: Base, archive: Path, fresh: StateDir) -> None:
    """A restored turn that was queued is interrupted: it may have run after the backup was made."""
    name = base.session(answers=(b"done",))
    base.turn(name, 2, b"half", "running")
    base.turn(name, 3, b"", "queued")
    backup(base.state, archive)
    restore(fresh, archive)
    rows = Base(fresh).execute("SELECT state, code, bytes FROM turns ORDER BY number")
    assert rows[0][0] == "completed"
    assert rows[1][0] == "running"  # the service that starts ends it, as after a crash
    assert rows[2] == ("interrupted", "INTERRUPTED", 0)
    assert fresh.transcript(name, 2).read_bytes() == b"half"


def test_sessions_are_not_overwritten(base: Base, archive: Path, fresh: StateDir) -> None:
    """Where there are sessions a restore is refused, or keeps them beside when that is asked for."""
    name = base.session(answers=(b"new",))
    backup(base.state, archive)
    other = Base(fresh)
    restore(fresh, archive)
    later = other.session(files={"f": "later"})
    with pytest.raises(RestoreError, match="--move-aside"):
        restore(fresh, archive)
    assert other.directories() == {name, later}
    done = restore(fresh, archive, move_aside=True)
    assert done.aside is not None
    assert other.directories() == other.rows() == {name}
    assert (done.aside / "sessions" / later / "f").read_text() == "later"
    assert (done.aside / "qchat.db").exists()


def test_a_backup_without_rows(tmp_path: Path, archive: Path, fresh: StateDir) -> None:
    """Directories that no service has seen are backed up and restored as they are."""
    name = str(uuid4())
    (tmp_path / "old" / name).mkdir(parents=True)
    made = backup(StateDir.find(tmp_path / "old"), archive)
    assert made.sessions == 1
    restore(fresh, archive)
    assert (fresh.base / name).is_dir()
    assert not fresh.database.exists()


# Interruption


def test_interrupted_anywhere_it_is_completed(
    base: Base, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that is cut off after any rename has changed nothing, or is completed by the next."""
    name = base.session(files={"f": "backed up"}, answers=(b"answer",))
    backup(base.state, archive)
    rename, left = os.rename, 0

    def stop(*args: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        rename(*args, **options)

    steps, finished = 0, False
    while not finished:
        state = StateDir.open(tmp_path / f"target-{steps}")
        target = Base.make(state.base)
        present = target.session(files={"f": "present"}, answers=(b"x",))
        state.lock()
        left = steps
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr("os.rename", stop)
            patch.setattr(Path, "rename", stop)
            restore(state, archive, move_aside=True)
            finished = True
        begun = (state.private / switch.NOTE).exists()
        switch.complete(state)
        assert target.directories() == target.rows() == ({name} if begun or finished else {present})
        assert all(found.harmless for found in check(state, alone=True, repair=True))
        assert check(state, alone=True, repair=False) == []
        state.unlock()
        steps += 1
    assert steps > 6


# Hostile archives


def made_of(
    *members: tuple[str, bytes, bytes], manifest: dict[str, Any] | None = None, rows: bytes = b""
) -> bytes:
    """An archive as a backup is made, with ``members`` (name, kind, content or target) in it."""
    written = io.BytesIO()
    tar = TarWriter(written)
    tar.add_bytes("qchat-backup.json", json.dumps({"format": 1, "database": bool(rows)}).encode(), 0)
    status = os.stat("/")
    for name, kind, data in members:
        if kind == tarfile.REGTYPE:
            tar.add_bytes(name, data, 0)
        else:
            tar.add_entry(name.encode(), status, kind, data)
    if rows:
        tar.add_bytes("qchat.db", rows, 0)
    tar.add_bytes("manifest.json", json.dumps(manifest or {"sessions": 1}).encode(), 0)
    tar.close()
    return gzip.compress(written.getvalue())


ID = "01234567-89ab-4cde-8f01-23456789abcd"
ROOM = f"sessions/{ID}"
FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
START = (f"{ROOM}/", DIR, b"")
HOSTILE = {
    "absolute": [START, ("/tmp/qchat-escaped", FILE, b"x")],
    "parent": [START, (f"{ROOM}/../../../escaped", FILE, b"x")],
    "parent of all": [("../escaped", FILE, b"x")],
    "dot": [START, (f"{ROOM}/./x", FILE, b"x")],
    "empty part": [START, (f"{ROOM}//x", FILE, b"x")],
    "other session": [START, (f"{ROOM}x/file", FILE, b"x")],
    "no session": [("sessions/name/", DIR, b"")],
    "upper case": [(f"sessions/{ID.upper()}/", DIR, b"")],
    "link as root": [(ROOM, LINK, b"/tmp")],
    "file as root": [(ROOM, FILE, b"x")],
    "no root": [(f"{ROOM}/file", FILE, b"x")],
    "root twice": [START, START],
    "tree twice": [START, (f"state/{ID}/home/", DIR, b""), START],
    "through a link": [START, (f"{ROOM}/l", LINK, b"/tmp"), (f"{ROOM}/l/qchat-escaped", FILE, b"x")],
    "through a link to itself": [START, (f"{ROOM}/l", LINK, b"."), (f"{ROOM}/l/x", FILE, b"x")],
    "over a link": [START, (f"{ROOM}/l", LINK, b"/tmp/qchat-escaped"), (f"{ROOM}/l", FILE, b"x")],
    "directory over a link": [START, (f"{ROOM}/l", LINK, b"/tmp"), (f"{ROOM}/l", DIR, b"")],
    "file twice": [START, (f"{ROOM}/f", FILE, b"x"), (f"{ROOM}/f", FILE, b"y")],
    "hard link out": [START, (f"{ROOM}/h", HARD, b"/etc/passwd")],
    "hard link up": [START, (f"{ROOM}/h", HARD, f"{ROOM}/../../../x".encode())],
    "hard link to other session": [START, (f"{ROOM}/h", HARD, b"sessions/other/x")],
    "hard link to link": [
        START,
        (f"{ROOM}/l", LINK, b"/etc/passwd"),
        (f"{ROOM}/h", HARD, f"{ROOM}/l".encode()),
    ],
    "hard link through link": [
        START,
        (f"{ROOM}/l", LINK, b"/etc"),
        (f"{ROOM}/h", HARD, f"{ROOM}/l/passwd".encode()),
    ],
    "device": [START, (f"{ROOM}/d", tarfile.CHRTYPE, b"")],
    "pipe": [START, (f"{ROOM}/d", tarfile.FIFOTYPE, b"")],
    "unknown kind": [START, (f"{ROOM}/d", b"Z", b"")],
    "transcript with a path": [(f"state/{ID}/turns/../x.out", FILE, b"x")],
    "transcript 0": [(f"state/{ID}/turns/0.out", FILE, b"x")],
    "transcript as link": [(f"state/{ID}/turns/1.out", LINK, b"/etc/passwd")],
    "transcript twice": [(f"state/{ID}/turns/1.out", FILE, b"x"), (f"state/{ID}/turns/1.out", FILE, b"x")],
    "state of its own": [(f"state/{ID}/other", FILE, b"x")],
    "lock": [(".qchat/lock", FILE, b"1")],
    "manifest first": [("manifest.json", FILE, b'{"sessions": 1}')],
    "rows as link": [("qchat.db", LINK, b"/etc/passwd")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_hostile_members_are_refused(
    members: list[tuple[str, bytes, bytes]], archive: Path, fresh: StateDir, tmp_path: Path
) -> None:
    """An archive with a member that a backup would not have is refused whole, and nothing is written."""
    archive.write_bytes(made_of(*members))
    before = tree(tmp_path)
    with pytest.raises(RestoreError, match="no backup that can be restored"):
        restore(fresh, archive)
    assert tree(tmp_path) == before
    assert not os.path.lexists("/tmp/qchat-escaped")


def rows_with(statement: str, path: Path) -> bytes:
    """The database of a session with one turn, after something was done to it."""
    base = Base.make(path / "source")
    base.execute("INSERT INTO sessions (id, created, last_activity) VALUES (?, 1, 1)", ID)
    base.execute(
        "INSERT INTO turns (session_id, number, prompt, state, created, form, output, bytes, sha256)"
        " VALUES (?, 1, '', 'completed', 1, 'q', 'markdown', 0, '')",
        ID,
    )
    with closing(sqlite3.connect(base.state.database, isolation_level=None)) as connection:
        connection.executescript(statement)
        connection.execute("PRAGMA journal_mode = DELETE")
    return base.state.database.read_bytes()


ROWS = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON turns BEGIN DELETE FROM sessions; END",
    "view": "CREATE VIEW v AS SELECT * FROM sessions",
    "table": "CREATE TABLE more (x)",
    "session id": "UPDATE sessions SET id = '../x'; UPDATE turns SET session_id = '../x'",
    "dangling turn": "UPDATE turns SET session_id = 'x'",
    "turn number": "UPDATE turns SET number = '../1'",
    "negative turn": "UPDATE turns SET number = -1",
    "state": "UPDATE turns SET state = 'unheard-of'",
    "form": "UPDATE turns SET form = 'unheard-of'",
    "newer": "PRAGMA user_version = 99",
    "older than any": "PRAGMA user_version = 0",
    "transcript": "UPDATE turns SET bytes = 5, sha256 = 'x'",
    "size": "UPDATE turns SET bytes = 'many'",
}


@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
def test_hostile_rows_are_refused(statement: str, archive: Path, fresh: StateDir, tmp_path: Path) -> None:
    """Rows that could lead the service astray, or do not fit the files, are refused with the archive."""
    archive.write_bytes(made_of(START, rows=rows_with(statement, tmp_path)))
    with pytest.raises(RestoreError, match="no backup that can be restored"):
        restore(fresh, archive)
    assert not list(fresh.on_disk())
    assert not fresh.database.exists()


def test_rows_that_fit_are_taken(archive: Path, fresh: StateDir, tmp_path: Path) -> None:
    """The archive that the hostile ones are made from is restored as it should be."""
    archive.write_bytes(made_of(START, rows=rows_with("", tmp_path)))
    assert restore(fresh, archive).turns == 1


@pytest.mark.parametrize("manifest", [{"deleted": 5}, {"deleted": [[]]}, {"missing": 5}, {"missing": [5]}])
def test_hostile_manifests(manifest: dict[str, Any], archive: Path, fresh: StateDir, tmp_path: Path) -> None:
    """A manifest that makes no sense is refused, or does no harm."""
    archive.write_bytes(made_of(START, rows=rows_with("", tmp_path), manifest=manifest))
    try:
        restore(fresh, archive)
    except RestoreError:
        assert not list(fresh.on_disk())
    assert not list(fresh.private.glob(f"{switch.STAGING}*"))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_archives_change_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A backup that is cut short, or has a byte changed anywhere, leaves no trace, or nothing was lost."""
    place = tmp_path_factory.mktemp("damaged")
    base = Base.make(place / "sessions")
    name = base.session(files={"f": "text" * 100}, answers=(b"answer",))
    whole = (place / "whole", place / "damaged")
    backup(base.state, whole[0])
    content = bytearray(whole[0].read_bytes())
    where = int(data.draw(st.floats(0, 1, exclude_max=True), "where") * len(content))
    if change := data.draw(st.integers(0, 255), "change"):
        content[where] ^= change
    else:
        del content[where:]
    whole[1].write_bytes(content)
    state = StateDir.open(place / "restored")
    state.lock()
    try:
        restore(state, whole[1])
    except RestoreError:
        assert not list(state.on_disk())
        assert {path.name for path in state.private.iterdir()} <= {"lock", "trash", "ballast"}
    else:  # bits that gzip does not use
        assert change
        assert state.transcript(name, 1).read_bytes() == b"answer"
        assert (state.base / name / "f").read_text() == "text" * 100
    finally:
        state.unlock()


def test_a_disk_that_fills_up_changes_nothing(
    base: Base, archive: Path, fresh: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that would fill the disk stops while there is room, and removes what it has unpacked."""
    name = base.session()
    (base.path / name / "zeros").write_bytes(bytes(50_000_000))
    backup(base.state, archive)
    room = os.statvfs(base.path)
    free = room.f_bavail * room.f_frsize
    monkeypatch.setattr("qchat.adapters.unpack.RESERVE_BYTES", free - 40_000_000)
    with pytest.raises(RestoreError, match="No space left"):
        restore(fresh, archive)
    assert not list(fresh.on_disk())
    assert {path.name for path in fresh.private.iterdir()} <= {"lock", "trash", "ballast"}


def test_what_a_waiting_turn_writes_later_stays_out(base: Base, archive: Path, fresh: StateDir) -> None:
    """A turn that waits when the backup begins is not in it as one that has written something."""
    name = base.session()
    base.turn(name, 1, b"written meanwhile", "queued")
    backup(base.state, archive)
    restore(fresh, archive)
    assert not fresh.transcript(name, 1).exists()
    assert check(fresh, alone=True, repair=False) == []


def test_logins_do_not_come_back(base: Base, archive: Path, fresh: StateDir) -> None:
    """Browsers have to log in again after a restore: a login may have been ended since the backup."""
    base.execute("INSERT INTO logins VALUES ('id', 'credential', 'alice', 1.0, 2e12)")
    backup(base.state, archive)
    restore(fresh, archive)
    assert Base(fresh).execute("SELECT * FROM logins") == []
