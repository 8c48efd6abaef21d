"""Removing a tree that does not want to be removed."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from qchat.adapters.removal import Removal, remove_tree

Run = Callable[[Callable[[], None]], None]


def remove(place: Path, name: str = "tree", stop: Callable[[], bool] = lambda: False) -> Removal:
    fd = os.open(place, os.O_PATH)
    try:
        return remove_tree(fd, name, stop)
    finally:
        os.close(fd)


def make_deep(root: Path, levels: int, mode: int = 0o700) -> None:
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o000, dir_fd=fd))
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.fchmod(fd, mode)
        os.close(fd)
        fd = below
    os.fchmod(fd, mode)
    os.close(fd)


def test_deep(place: Path, run_as: Run) -> None:
    """A tree of five thousand levels, each with a file and mode 000, is removed."""

    def scenario() -> None:
        (place / "tree").mkdir()
        make_deep(place / "tree", 5000, mode=0o000)
        assert remove(place) == Removal(True)
        assert os.listdir(place) == []

    run_as(scenario)


def test_wide_with_everything(place: Path, run_as: Run, resolver: str) -> None:
    """Names that are not UTF-8, links, FIFOs, sockets, hard links and forbidden modes are all removed."""

    def scenario() -> None:
        (place / "keep").mkdir()
        (place / "keep" / "file").touch()
        for number in range(40):
            root = place / "tree" / f"{number}" / "a" / os.fsdecode(b"\xff\n")
            root.mkdir(parents=True)
            (root / "link").symlink_to(place / "keep")
            (root / "file link").symlink_to(place / "keep" / "file")
            os.mkfifo(root / "fifo", 0)
            (root / "file").touch()
            os.link(root / "file", root / "same")
            with socket.socket(socket.AF_UNIX) as listener:
                here = os.open(root, os.O_PATH)
                listener.bind(f"/proc/self/fd/{here}/socket")
                os.close(here)
            for mode, path in [(0, root), (0o111, root.parent), (0o555, root.parent.parent)]:
                path.chmod(mode)
        assert remove(place) == Removal(True)
        assert os.listdir(place) == ["keep"]
        assert os.listdir(place / "keep") == ["file"]

    run_as(scenario)


def test_more_than_a_batch(place: Path) -> None:
    """A directory of more entries than are read at once is removed."""
    (place / "tree" / "sub").mkdir(parents=True)
    for number in range(2500):
        (place / "tree" / "sub" / f"{number}").touch()
        (place / "tree" / f"d{number}" / "e").mkdir(parents=True)
    assert remove(place).done
    assert not (place / "tree").exists()


def test_missing(place: Path) -> None:
    """What is gone already counts as removed."""
    assert remove(place) == Removal(True)


def test_link_in_its_place(place: Path) -> None:
    """A link that took the tree's place is removed, not what it leads to."""
    (place / "other").mkdir()
    (place / "other" / "file").touch()
    (place / "tree").symlink_to("other")
    assert remove(place).done
    assert os.listdir(place) == ["other"]
    assert os.listdir(place / "other") == ["file"]


def test_interrupted(place: Path) -> None:
    """An interrupted removal stops within a step, and the next call goes on from there."""
    for number in range(100):
        (place / "tree" / f"{number}" / "a" / "b").mkdir(parents=True)
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls % 60 == 0

    interruptions = 0
    while not remove(place, stop=stop).done:
        interruptions += 1
        assert interruptions < 100
    assert interruptions > 3
    assert not (place / "tree").exists()


def test_where_directories_cannot_be_moved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that cannot move directories they are removed where they are."""
    (place / "tree").mkdir()
    make_deep(place / "tree", 50)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", refuse)
    assert remove(place) == Removal(True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files that others may not remove")
def test_what_cannot_be_removed(place: Path, run_as: Run) -> None:
    """Files of another user are left, everything else is removed, and the reason is told."""
    (place / "tree" / "theirs").mkdir(parents=True)
    (place / "tree" / "theirs" / "file").touch()
    (place / "tree").chmod(0o777)

    def scenario() -> None:
        if os.geteuid() == 0:
            assert remove(place).done
            return
        (place / "tree" / "mine" / "sub").mkdir(parents=True)
        result = remove(place)
        assert not result.done
        assert result.why == "Permission denied: 'file'"
        assert os.listdir(place / "tree") == ["theirs"]

    run_as(scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_mounts_are_not_crossed(place: Path, resolver: str) -> None:
    """A directory that is mounted into the tree keeps its files."""
    (place / "other").mkdir()
    (place / "other" / "file").touch()
    (place / "tree" / "a" / "mount").mkdir(parents=True)
    (place / "tree" / "a" / "file").touch()
    if os.spawnlp(os.P_WAIT, "mount", "mount", "--bind", place / "other", place / "tree" / "a" / "mount"):
        pytest.skip("mounting is not allowed here")
    try:
        result = remove(place)
        assert not result.done
        assert "busy" in result.why or "cross-device" in result.why
        assert os.listdir(place / "other") == ["file"]
    finally:
        os.spawnlp(os.P_WAIT, "umount", "umount", "-l", place / "tree" / "a" / "mount")
    assert remove(place).done


def test_no_descriptor_is_left(place: Path) -> None:
    """A removal leaves no descriptor open, whether it worked or not."""
    before = os.listdir("/proc/self/fd")
    for number in range(10):
        (place / "tree" / f"{number}" / "a" / "b").mkdir(parents=True)
    remove(place, stop=iter([False] * 20 + [True]).__next__)
    remove(place)
    assert os.listdir("/proc/self/fd") == before


def test_the_parent_keeps_its_mode(place: Path) -> None:
    """Nothing outside the tree is changed."""
    place.chmod(0o751)
    (place / "tree" / "a").mkdir(parents=True)
    remove(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o751
