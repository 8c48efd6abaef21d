"""The check: it finds what does not fit, repairs what is safe, and leaves the rest alone."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from qchat.adapters.check import Finding, check
from qchat.errors import StorageUnavailable
from tests.admin.base import Base


def faults(base: Base, *, repair: bool = False) -> list[Finding]:
    return check(base.state, alone=True, repair=repair)


@pytest.fixture
def session(base: Base) -> str:
    """A session that is as it should be, with two turns that ended and one that waits."""
    name = base.session(files={"f": ""}, answers=(b"one", b"two"))
    base.turn(name, 3, b"", "queued")
    base.state.transcript(name, 3).unlink()
    return name


def test_nothing_is_wrong(base: Base, session: str) -> None:
    """A healthy directory has no findings, nor has one that no service has been in."""
    base.session("bare")
    base.session("expired", answers=(b"x",))
    assert faults(base) == []
    assert {session} < base.rows()


def _shorten(base: Base, name: str) -> None:
    os.truncate(base.state.transcript(name, 1), 2)


def _lengthen(base: Base, name: str) -> None:
    base.state.transcript(name, 1).write_bytes(b"one and more")


def _change(base: Base, name: str) -> None:
    base.state.transcript(name, 1).write_bytes(b"eno")


def _lose(base: Base, name: str) -> None:
    base.state.transcript(name, 1).unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [(_shorten, "2 bytes, not 3"), (_lengthen, "12 bytes"), (_change, "changed"), (_lose, "missing")],
)
def test_transcripts(base: Base, session: str, harm: Callable[[Base, str], None], words: str) -> None:
    """A transcript that is not what was recorded is found, and no repair hides it."""
    harm(base, session)
    for repair in (False, True):
        [found] = faults(base, repair=repair)
        assert words in found.what
        assert str(base.state.transcript(session, 1)) in found.what
        assert found.advice
        assert not found.repaired


def test_a_session_without_its_directory(base: Base, session: str) -> None:
    """A session whose directory has vanished gets an empty one."""
    (base.path / session / "f").unlink()
    (base.path / session).rmdir()
    [found] = faults(base)
    assert session in found.what
    assert not (base.path / session).exists()
    [found] = faults(base, repair=True)
    assert found.repaired
    assert (base.path / session).is_dir()
    assert faults(base) == []


def test_a_directory_that_is_none(base: Base, session: str, tmp_path: Path) -> None:
    """Something else in the place of a session's directory is told, and not touched."""
    (base.path / session / "f").unlink()
    (base.path / session).rmdir()
    (base.path / session).symlink_to(tmp_path)
    [found] = faults(base, repair=True)
    assert "not a directory" in found.what
    assert (base.path / session).is_symlink()


def test_an_expired_session_without_its_directory(base: Base) -> None:
    """An expired session is kept for the sake of its directory; without one it is forgotten."""
    name = base.session("expired")
    (base.path / name).rmdir()
    [found] = faults(base, repair=True)
    assert found.repaired == "forgotten"
    assert base.rows() == set()


def test_state_of_no_session(base: Base, session: str) -> None:
    """Homes and transcripts that belong to nothing are moved out of the way, and not deleted."""
    name = base.session("bare")
    base.state.create(name)
    base.state.transcript(name, 1).write_bytes(b"kept")
    base.state.transcript(session, 9).write_bytes(b"kept as well")
    assert len(faults(base)) == 2
    assert all(found.repaired for found in faults(base, repair=True))
    assert faults(base) == []
    lost = base.state.private / "lost"
    assert {path.read_bytes() for path in lost.rglob("*.out*") if path.is_file()} == {
        b"kept",
        b"kept as well",
    }
    assert base.directories() == {session, name}


def test_leftovers(base: Base, session: str) -> None:
    """What a killed server or restore leaves is harmless, and a repair removes it."""
    (base.state.trash / "old" / "deep").mkdir(parents=True)
    base.state.control_socket.touch()
    (base.state.private / "restore-0123" / "sessions").mkdir(parents=True)
    found = faults(base)
    assert len(found) == 3
    assert all(one.harmless for one in found)
    assert all(one.repaired for one in faults(base, repair=True))
    assert faults(base) == []
    assert base.directories() == {session}


def test_a_damaged_database(base: Base, session: str) -> None:
    """A database that SQLite finds damaged is told with what to do, and nothing is repaired on its word."""
    with open(base.state.database, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    (base.path / session / "f").unlink()
    (base.path / session).rmdir()
    found = faults(base, repair=True)
    assert found
    assert all("damaged" in one.what and "backup" in one.advice for one in found)
    assert not (base.path / session).exists()
    base.state.database.write_bytes(b"no database at all" * 100)
    [found_one] = faults(base)
    assert "damaged" in found_one.what


def test_without_a_database(base: Base, session: str) -> None:
    """When the database is lost, what would be in the way of new sessions' turns is moved aside."""
    base.state.database.unlink()
    [found] = faults(base, repair=True)
    assert found.repaired
    assert not (base.state.private / session).exists()
    assert base.directories() == {session}


def test_another_releases_database(base: Base) -> None:
    """A database of another version is not judged."""
    base.execute("PRAGMA user_version = 999")
    with pytest.raises(StorageUnavailable, match="999"):
        faults(base)


def test_beside_a_service_nothing_of_its_own_is_a_leftover(base: Base, session: str) -> None:
    """While a service runs its trash, its socket and new directories are no findings."""
    (base.state.trash / "old").mkdir()
    base.state.control_socket.touch()
    (base.path / str(uuid4())).mkdir()
    assert check(base.state, alone=False, repair=False) == []
    assert base.rows() == {session}
