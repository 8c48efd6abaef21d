"""An agent that swaps things while the service looks: nothing of another session may ever come out.

QCHAT_TEST_ROUNDS=20 does everything 5,000 times, with at least as many swaps meanwhile.
"""

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from qchat.adapters.beneath import WorkspaceError
from qchat.adapters.removal import remove_tree
from qchat.adapters.workspace import Workspace

Run = Callable[[Callable[[], None]], None]
Rounds = Callable[[int], int]

SWAPS = 250
RENAME_EXCHANGE = 2
THEIRS = b"this belongs to the other session"


class Swapper:
    """A process that exchanges two names, over and over, until it is stopped."""

    def __init__(self, one: Path, other: Path) -> None:
        self.counter = mmap.mmap(-1, 8)
        self.pid = os.fork()
        if self.pid == 0:
            libc = ctypes.CDLL(None)
            while True:
                if libc.renameat2(-100, bytes(one), -100, bytes(other), RENAME_EXCHANGE) == 0:
                    self.counter[:] = (self.count + 1).to_bytes(8, "little")

    @property
    def count(self) -> int:
        return int.from_bytes(self.counter[:], "little")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def build(place: Path) -> None:
    """Two sessions; in the first a directory and a file, and beside each a link to the other's."""
    theirs = place / "theirs"
    mine = place / "mine"
    for root in (theirs, mine / "d"):
        (root / "sub").mkdir(parents=True)
    for path in (theirs / "file", theirs / "sub" / "file", theirs / "only theirs"):
        path.write_bytes(THEIRS)
    for path in (mine / "d" / "file", mine / "d" / "sub" / "file", mine / "f"):
        path.write_bytes(b"mine")
    (mine / "link to d").symlink_to(theirs)
    (mine / "link to f").symlink_to(theirs / "file")


def untouched(place: Path) -> bool:
    theirs = place / "theirs"
    files = [theirs / "file", theirs / "sub" / "file", theirs / "only theirs"]
    return sorted(path for path in theirs.rglob("*") if path.is_file()) == sorted(files) and all(
        path.read_bytes() == THEIRS for path in files
    )


def race(place: Path, number: int, act: Callable[[Workspace], None], link: str = "d") -> None:
    """Do something in the workspace ``number`` times, while it is swapped at least as often."""
    build(place)
    base = os.open(place, os.O_PATH)
    done = 0
    with (
        Workspace.open(base, "mine") as workspace,
        Swapper(place / "mine" / link, place / "mine" / f"link to {link}") as swapper,
    ):
        while done < number or swapper.count < number:
            with suppress(WorkspaceError, FileNotFoundError):
                act(workspace)
            done += 1
    os.close(base)
    assert untouched(place)


def contents(workspace: Workspace, path: bytes) -> bytes:
    fd, status = workspace.open_file(path)
    with open(fd, "rb") as file:
        return file.read(status.st_size)


def test_control_a_plain_open_leaks(place: Path) -> None:
    """The race is real: checking a path and opening it then gives the other session's file."""
    build(place)
    path = place / "mine" / "d" / "file"
    leaked = False
    with Swapper(place / "mine" / "d", place / "mine" / "link to d"):
        deadline = time.monotonic() + 60
        while not leaked and time.monotonic() < deadline:
            with suppress(OSError):
                inside = os.path.realpath(path).startswith(f"{place}/mine/")
                leaked = inside and path.read_bytes() == THEIRS
    assert leaked


@pytest.mark.parametrize("path", [b"d/file", b"d/sub/file", b"d/only theirs"])
def test_reading_a_directory_that_becomes_a_link(
    place: Path, rounds: Rounds, run_as: Run, resolver: str, path: bytes
) -> None:
    """A file read through a directory that turns into a link is the session's own or none."""

    def act(workspace: Workspace) -> None:
        assert contents(workspace, path) == b"mine"

    run_as(lambda: race(place, rounds(SWAPS), act))


def test_reading_a_file_that_becomes_a_link(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """A file that turns into a link is read itself or not at all."""

    def act(workspace: Workspace) -> None:
        assert contents(workspace, b"f") == b"mine"

    run_as(lambda: race(place, rounds(SWAPS), act, "f"))


def test_listing_and_measuring_while_swapped(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """A walk never enters the other session."""

    def act(workspace: Workspace) -> None:
        entries = [*workspace.listing()]
        assert all(entry.size == len(b"mine") for entry in entries), entries
        assert b"d/only theirs" not in [entry.raw for entry in entries]
        workspace.measure()

    run_as(lambda: race(place, rounds(SWAPS), act))


def test_writing_while_swapped(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """What is written, and the parents that are made for it, stay in the session."""

    def act(workspace: Workspace) -> None:
        workspace.write_file(b"d/file", [b"mine"])
        workspace.write_file(b"d/new/parents/file", [b"mine"])

    run_as(lambda: race(place, rounds(SWAPS), act))


def test_removing_files_while_swapped(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """Only the session's own file is ever removed."""

    def act(workspace: Workspace) -> None:
        for path in (b"d/only theirs", b"d/sub/file"):
            with suppress(WorkspaceError):
                workspace.remove(path)

    run_as(lambda: race(place, rounds(SWAPS), act))


def test_removing_a_tree_while_swapped(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """A removal never follows a directory that turns into a link to the other session."""
    number = rounds(SWAPS)

    def scenario() -> None:
        build(place)
        tree = place / "mine" / "tree"
        base = os.open(place / "mine", os.O_PATH)
        done = 0
        with (
            Swapper(tree / "x", tree / "link") as outer,
            Swapper(tree / "y" / "sub", tree / "y" / "link") as inner,
        ):
            while done < number or min(outer.count, inner.count) < number:
                made = place / "mine" / f"made {done}"
                (made / "x" / "sub" / "sub").mkdir(parents=True)
                (made / "y" / "sub" / "sub").mkdir(parents=True)
                (made / "y" / "sub" / "file").touch()
                for link in (made / "link", made / "y" / "link"):
                    link.symlink_to(place / "theirs")
                made.rename(tree)
                while not remove_tree(base, "tree").done:
                    pass
                done += 1
        os.close(base)
        assert untouched(place)

    run_as(scenario)


def test_the_workspace_itself_is_swapped(place: Path, rounds: Rounds, run_as: Run, resolver: str) -> None:
    """A workspace that turns into a link is opened itself or not at all."""
    number = rounds(SWAPS)

    def scenario() -> None:
        build(place)
        (place / "link").symlink_to("theirs")
        (place / "mine" / "file").write_bytes(b"mine")
        base = os.open(place, os.O_PATH)
        done = 0
        with Swapper(place / "mine", place / "link") as swapper:
            while done < number or swapper.count < number:
                with suppress(WorkspaceError), Workspace.open(base, "mine") as workspace:
                    assert contents(workspace, b"file") == b"mine"
                done += 1
        os.close(base)

    run_as(scenario)
