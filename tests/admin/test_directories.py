"""SessionDirectoryManager: what is there, and what may go."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

import qchat
from qchat import SessionDirectoryManager
from qchat.adapters.control import ownership
from qchat.adapters.statedir import AlreadyRunning, StateDir
from qchat.errors import StorageUnavailable
from qchat.model.cleanup import Rule
from tests.admin.base import HOUR, Base
from tests.harness import ROOT

FIELDS = {
    "session_id",
    "path",
    "relative_path",
    "created_time",
    "modified_time",
    "file_count",
    "size_bytes",
    "state",
}
KNOWN = {"title", "last_activity", "message_count"}
FILE_FIELDS = {"name", "path", "absolute_path", "size", "created_time", "modified_time"}


def test_importing_the_package_is_cheap() -> None:
    """Importing qchat imports none of its modules; the manager is imported when it is asked for."""
    program = (
        "import sys, qchat\n"
        "assert not [name for name in sys.modules if name.startswith('qchat.')]\n"
        "from qchat import SessionDirectoryManager\n"
        "assert SessionDirectoryManager.__module__ == 'qchat.adapters.directories'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=30)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = qchat.nonsense


def test_lists_directories(base: Base) -> None:
    """Each directory is described by the documented fields, the one that was changed last first."""
    old = base.session(hours=5, files={"a/b.txt": "12345", "c.txt": "1"})
    new = base.session("bare", hours=1)
    gone = base.session("expired", hours=3)
    found = SessionDirectoryManager(base.path).list_session_directories()
    assert [one["session_id"] for one in found] == [new, gone, old]
    assert [one["state"] for one in found] == ["bare", "expired", "live"]
    assert set(found[0]) == FIELDS
    assert set(found[2]) == FIELDS | KNOWN
    assert (found[2]["file_count"], found[2]["size_bytes"]) == (2, 6)
    assert found[2]["path"] == str(base.path / old)
    assert found[2]["relative_path"] == f"sessions/{old}"
    assert abs(found[2]["modified_time"] - (time.time() - 5 * HOUR)) < 60


def test_a_relative_base_gives_relative_paths(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SESSIONS_BASE_DIR written relative, the relative path begins as it was written."""
    name = base.session()
    monkeypatch.chdir(base.path.parent)
    monkeypatch.setenv("SESSIONS_BASE_DIR", "../" + base.path.parent.name + "/sessions")
    [found] = SessionDirectoryManager().list_session_directories()
    assert found["relative_path"] == f"../{base.path.parent.name}/sessions/{name}"
    assert found["path"] == str(base.path / name)


def test_describes_one_directory(base: Base) -> None:
    """The description of one directory has its files; there is none for what is no session directory."""
    name = base.session(files={"a/b.txt": "12345"})
    manager = SessionDirectoryManager(base.path)
    found = manager.get_directory_info(name)
    assert found is not None
    assert set(found) == FIELDS | KNOWN | {"files", "files_complete"}
    [file] = found["files"]
    assert set(file) == FILE_FIELDS
    assert (file["name"], file["path"], file["size"]) == ("b.txt", "a/b.txt", 5)
    assert file["absolute_path"] == str(base.path / name / "a/b.txt")
    assert manager.get_directory_info(str(uuid4())) is None
    assert manager.get_directory_info("..") is None


def test_only_directories_count(base: Base, tmp_path: Path) -> None:
    """Links and files that are named like sessions are neither listed nor cleaned."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (base.path / str(uuid4())).symlink_to(outside)
    (base.path / str(uuid4())).write_text("")
    manager = SessionDirectoryManager(base.path)
    assert manager.list_session_directories() == []
    assert manager.cleanup_empty_directories() == manager.cleanup_old_directories(0) == 0
    assert outside.is_dir()
    assert len(list(base.path.iterdir())) == 3


def test_cleans_empty_directories(base: Base) -> None:
    """Empty directories of expired sessions and of none go, with rows and homes; live sessions stay."""
    live, expired, bare = base.session(), base.session("expired"), base.session("bare")
    full = base.session("expired", files={"sub/.hidden": ""})
    manager = SessionDirectoryManager(base.path)
    assert manager.cleanup_empty_directories(dry_run=True) == 2
    assert base.directories() == {live, expired, bare, full}
    assert manager.cleanup_empty_directories() == 2
    assert base.directories() == base.rows() == {live, full}
    assert {path.name for path in base.state.private.iterdir() if path.is_dir()} == {live, full, "trash"}
    assert not list(base.state.trash.iterdir())
    assert manager.cleanup_empty_directories() == 0


def test_cleans_old_directories(base: Base) -> None:
    """Directories whose whole tree is old enough go, unless the session is live or was used since."""
    live = base.session(hours=100, files={"f": ""})
    old = base.session("expired", hours=25, files={"f": ""})
    bare = base.session("bare", hours=25, files={"a/b/c": ""})
    young = base.session("bare", hours=23)
    touched = base.session("bare", hours=100, files={"a/b/c": ""})
    os.utime(base.path / touched / "a/b/c")
    used = base.session("expired", hours=100)
    base.execute("UPDATE sessions SET last_activity = ? WHERE id = ?", time.time(), used)
    manager = SessionDirectoryManager(base.path)
    assert manager.cleanup_old_directories(dry_run=True) == 2
    assert manager.cleanup_old_directories() == 2
    assert base.directories() == {live, young, touched, used}
    assert base.rows() == {live, used}
    assert {old, bare}.isdisjoint(base.directories())
    assert manager.cleanup_old_directories(hours=0) == 3
    assert base.directories() == {live}


def test_dates_in_the_future_are_not_believed(base: Base) -> None:
    """A file that claims to be of next year does not keep its directory for ever."""
    name = base.session("bare", files={"f": ""})
    base.age(name, -10_000)
    [found] = SessionDirectoryManager(base.path).list_session_directories()
    assert found["modified_time"] <= time.time()
    assert SessionDirectoryManager(base.path).cleanup_old_directories(0) == 1


def test_hostile_trees_are_removed_alone(base: Base, tmp_path: Path) -> None:
    """What links in a directory lead to stays; deep and closed directories go with the rest."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    name = base.session("bare")
    deep = base.path / name
    (deep / "link").symlink_to(outside)
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    (deep / "pipe").touch()
    deep.chmod(0)
    manager = SessionDirectoryManager(base.path)
    assert manager.cleanup_old_directories(0) == 1
    assert not list(base.state.trash.iterdir())
    assert (outside / "file").read_text() == "mine"


def test_works_where_no_service_has_been(tmp_path: Path) -> None:
    """Directories of an older version, without any database, are listed and cleaned."""
    name = str(uuid4())
    (tmp_path / name).mkdir()
    manager = SessionDirectoryManager(tmp_path)
    assert [one["state"] for one in manager.list_session_directories()] == ["bare"]
    assert manager.cleanup_empty_directories() == 1
    assert not (tmp_path / name).exists()


def test_a_damaged_database_stops_everything(base: Base) -> None:
    """Without rows that can be read nobody knows what is live: nothing is removed."""
    name = base.session()
    base.state.database.write_bytes(b"no database" * 1000)
    manager = SessionDirectoryManager(base.path)
    with pytest.raises(StorageUnavailable):
        manager.cleanup_empty_directories()
    assert base.directories() == {name}


def test_another_releases_database_is_not_touched(base: Base) -> None:
    """A database with another version's schema is refused, and stays as it is."""
    base.session("expired")
    base.execute("PRAGMA user_version = 999")
    with pytest.raises(StorageUnavailable, match="schema version 999"):
        SessionDirectoryManager(base.path).cleanup_empty_directories()
    assert len(base.rows()) == 1


def test_a_missing_base_directory_is_an_error(tmp_path: Path) -> None:
    """A base directory that is not there is named, and not made."""
    with pytest.raises(StorageUnavailable, match="SESSIONS_BASE_DIR"):
        SessionDirectoryManager(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_one_tool_at_a_time(base: Base) -> None:
    """While another program holds the lock, and answers on no socket, nothing is changed."""
    other = StateDir.open(base.path)
    other.lock()
    try:
        with pytest.raises(AlreadyRunning, match="in use"), ownership(base.state, wait=0.1):
            pytest.fail("got in")
    finally:
        other.unlock()
    with ownership(base.state, wait=0.1) as control:
        assert control is None


def test_what_changes_meanwhile_is_looked_at_again(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that gets a file between the first look and the removal stays."""
    name = base.session("bare")
    manager = SessionDirectoryManager(base.path)
    lock = StateDir.lock

    def lock_late(state: StateDir, wait: float) -> None:
        (base.path / name / "file").write_text("new")
        lock(state, wait)

    monkeypatch.setattr(StateDir, "lock", lock_late)
    cleaned = manager.clean(Rule("empty"))
    assert cleaned.kept == ((name, "it is not empty"),)
    assert not cleaned.removed
    assert base.directories() == {name}
