"""What agents get of the service's."""

import os
from pathlib import Path

import pytest

from qchat.adapters.handover import hand_over
from qchat.adapters.identity import Owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
OWNER = Owner(1234, 2345)


def give(path: Path) -> None:
    fd = os.open(path, os.O_PATH)
    try:
        hand_over(fd, OWNER)
    finally:
        os.close(fd)


def test_everything_in_it(place: Path) -> None:
    """A tree that the service made is the agent's afterwards, links and deep directories too."""
    root = place / "home"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").touch()
    (root / "link").symlink_to(place)
    give(root)
    for path in (root, *root.rglob("*")):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (1234, 2345)
    assert place.stat().st_uid == 0


def test_files_with_another_name(place: Path) -> None:
    """A hard link gives nothing away that is not in the tree alone."""
    (place / "precious").touch()
    (place / "home").mkdir()
    os.link(place / "precious", place / "home" / "linked")
    give(place / "home")
    assert (place / "precious").stat().st_uid == 0


def test_once(place: Path) -> None:
    """What is in a tree that is the agent's already stays whose it is."""
    (place / "home").mkdir()
    give(place / "home")
    (place / "home" / "root's").touch()
    give(place / "home")
    assert (place / "home" / "root's").stat().st_uid == 0
