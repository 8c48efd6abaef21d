"""How a user that may not search some directories comes to what it needs in them.

A service that is root often lives where nobody else may look (everything beneath /root), and
bubblewrap, run by the agents' user, looks its sources up by path even when it is given descriptors.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from qchat.adapters.identity import Owner


@frozen
class Ways:
    """``covers``: directories that are in the way. ``paths``: what is to be reached beneath them."""

    covers: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def find(cls, paths: Iterable[Path], owner: Owner) -> "Ways":
        """The ways to ``paths`` that ``owner`` does not have."""
        covers = {path: blocked(path.parent, owner) for path in paths if path.exists()}
        return cls(
            tuple(sorted({str(cover) for cover in covers.values() if cover})),
            tuple(sorted(str(path) for path, cover in covers.items() if cover)),
        )


def blocked(path: Path, owner: Owner) -> Path | None:
    """The outermost directory on the way to ``path``, itself included, that ``owner`` may not search."""
    for directory in reversed((path, *path.parents)):
        if not _may_search(directory.stat(), owner):
            return directory
    return None


def _may_search(status: os.stat_result, owner: Owner) -> bool:
    if status.st_uid == owner.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == owner.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
