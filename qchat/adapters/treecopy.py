"""Copying an agent's tree into an archive: hostile to read, and changing meanwhile."""

import os
import stat
import tarfile

from attrs import define, field

from qchat.adapters.beneath import WorkspaceError, open_directory, refused
from qchat.adapters.tarstream import TarWriter
from qchat.adapters.tree import Walk
from qchat.adapters.workspace import Workspace, displayed

MOST_ENTRIES = 5_000_000
PATH_BYTES = 16384
"""Longest path that is copied: thousands of levels of long names would be gigabytes of paths."""
MOST_TOLD = 20
"""What could not be copied is told one by one up to here."""


@define(eq=False)
class TreeCopy:
    """One or more trees of a session; nothing of them is followed, waited for or trusted."""

    _tar: TarWriter
    files: int = 0
    left_out: list[str] = field(factory=list)
    """Sentences."""
    _untold: int = 0

    def add(self, name: str, root: int) -> None:
        """Copy the directory ``root`` as ``name``.

        :raises WorkspaceError: when the root itself cannot be read.
        """
        names: dict[tuple[int, int], bytes] = {}
        prefix = name.encode()
        self._tar.add_entry(prefix + b"/", os.stat(root), tarfile.DIRTYPE)
        walk = Walk(root=root, most=MOST_ENTRIES, force=True)
        try:
            for key, status in walk:
                path = walk.path(key)
                if len(path) > PATH_BYTES:
                    self._leave_out(prefix, path, "its path is too long")
                    continue
                try:
                    self._add(root, prefix, path, status, names)
                except (WorkspaceError, OSError) as error:
                    self._leave_out(prefix, path, str(error))
        except OSError as error:
            raise refused(error) from None
        if not walk.complete:
            self.left_out.append(
                f"{name}: it changed while it was read, or is too large; something is missing"
            )
        if self._untold:
            self.left_out.append(f"{name}: {self._untold} more")
            self._untold = 0

    def _add(
        self,
        root: int,
        prefix: bytes,
        path: bytes,
        status: os.stat_result,
        names: dict[tuple[int, int], bytes],
    ) -> None:
        name = prefix + b"/" + path
        if stat.S_ISDIR(status.st_mode):
            self._tar.add_entry(name, status, tarfile.DIRTYPE)
        elif stat.S_ISLNK(status.st_mode):
            self._tar.add_entry(name, status, tarfile.SYMTYPE, _link_target(root, path))
        elif stat.S_ISREG(status.st_mode):
            self._add_file(root, name, path, names)
        # Pipes and sockets mean nothing without the processes that made them.

    def _add_file(self, root: int, name: bytes, path: bytes, names: dict[tuple[int, int], bytes]) -> None:
        fd, status = Workspace(root).open_file(path)
        try:
            inode = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and (first := names.setdefault(inode, name)) != name:
                self._tar.add_entry(name, status, tarfile.LNKTYPE, first)
            else:
                self._tar.add_file(name, status, fd)
            self.files += 1
        finally:
            os.close(fd)

    def _leave_out(self, prefix: bytes, path: bytes, why: str) -> None:
        if len(self.left_out) < MOST_TOLD:
            self.left_out.append(f"{displayed(prefix + b'/' + path)[:500]}: {why}")
        else:
            self._untold += 1


def _link_target(root: int, path: bytes) -> bytes:
    *above, name = path.split(b"/")
    parent = open_directory(root, above, os.O_PATH)
    try:
        return os.readlink(name, dir_fd=parent)
    finally:
        os.close(parent)
