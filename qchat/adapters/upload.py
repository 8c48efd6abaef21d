"""A file on its way into a workspace: complete and on disk before it gets its name."""

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from types import TracebackType
from typing import Self

from attrs import define

from qchat.adapters.beneath import Exists, NotRegular, open_directory, refused

_TEMPORARY = re.compile(rb"\.qchat-upload-[0-9a-f]{32}")
_UNNAMED_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


def is_temporary(name: bytes) -> bool:
    """Whether a file of this name is an upload that is not finished."""
    return _TEMPORARY.fullmatch(name) is not None


@define(eq=False)
class Upload:
    """Write, then commit; leaving the context without a commit leaves no trace.

    The file has no name until then (``O_TMPFILE``), or a hidden one where the file system cannot do
    that. It belongs to whom the workspace belongs to.
    """

    _root: int
    _parts: list[bytes]
    _fd: int
    _temporary: bytes | None
    _replace: bool
    _owner: os.stat_result
    new_entries: int
    """How many names it adds to the workspace, as far as that can be told: its own, its parents'."""

    @classmethod
    def begin(cls, root: int, parts: list[bytes], *, replace: bool) -> Self:
        """:raises OSError: as the file system says; NotRegular and Exists as :meth:`.Workspace.upload`."""
        owner = os.stat(root)
        new_entries = _refuse_early(root, parts, replace)  # not after a gigabyte has come in
        top = open_directory(root, [])
        try:
            fd, temporary = _open_temporary(top)
        except BaseException:
            os.close(top)
            raise
        return cls(top, parts, fd, temporary, replace, owner, new_entries)

    def write(self, data: bytes | memoryview) -> None:
        """:raises OSError: when the disk is full."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Bring what is written to the disk: what takes long of a commit."""
        os.fsync(self._fd)

    def commit(self) -> os.stat_result:
        """Give the file its name, in place of the one that has it, and tell its status. Parents are made.

        :raises WorkspaceError: Exists, NotRegular when a name belongs to something else by now.
        :raises OSError: when the disk is full.
        """
        try:
            parent = _make_parents(self._root, self._parts[:-1], self._owner)
            try:
                self._give_name(parent)
            finally:
                os.close(parent)
        except OSError as error:
            raise refused(error) from None
        return os.fstat(self._fd)

    def _give_name(self, parent: int) -> None:
        name = self._parts[-1]
        os.fchmod(self._fd, _mode(parent, name))
        if os.geteuid() == 0:
            os.fchown(self._fd, self._owner.st_uid, self._owner.st_gid)
        os.fsync(self._fd)
        if not self._replace:
            self._link(parent, name)
        else:
            if self._temporary is None:  # a link cannot replace: it goes by a hidden name for a moment
                temporary = _temporary_name()
                self._link(self._root, temporary)
                self._temporary = temporary
            os.rename(self._temporary, name, src_dir_fd=self._root, dst_dir_fd=parent)
            self._temporary = None
        _sync_directory(parent)

    def _link(self, directory: int, name: bytes) -> None:
        os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=directory, follow_symlinks=True)

    def close(self) -> None:
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._root)
        os.close(self._fd)
        os.close(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make_parents(root: int, parts: list[bytes], owner: os.stat_result) -> int:
    """Open the directory that ``parts`` name, making what is missing of it."""
    fd = open_directory(root, [])
    for part in parts:
        try:
            try:
                below = _enter(fd, part)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
                    _sync_directory(fd)
                below = _enter(fd, part)
                if os.geteuid() == 0:
                    os.fchown(below, owner.st_uid, owner.st_gid)
        finally:
            os.close(fd)
        fd = below
    return fd


def _enter(fd: int, name: bytes) -> int:
    try:
        return open_directory(fd, [name])
    except NotADirectoryError:
        raise NotRegular("a part of the path is not a directory") from None


def _refuse_early(root: int, parts: list[bytes], replace: bool) -> int:
    """How many of the names are new."""
    fd = open_directory(root, [])
    new = len(parts)
    try:
        for part in parts[:-1]:
            below = _enter(fd, part)
            os.close(fd)
            fd = below
            new -= 1
        status = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        return new
    finally:
        os.close(fd)
    if not replace:
        raise Exists("there is a file of this name already")
    if stat.S_ISDIR(status.st_mode):
        raise NotRegular("not a regular file but a directory")
    return 0


def _mode(parent: int, name: bytes) -> int:
    """That of the file that is replaced: a script stays executable."""
    with suppress(OSError):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            return stat.S_IMODE(status.st_mode) & 0o777
    return 0o644


def _open_temporary(parent: int) -> tuple[int, bytes | None]:
    try:
        return os.open(b".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=parent), None
    except OSError as error:
        if error.errno not in _UNNAMED_UNSUPPORTED:
            raise
    name = _temporary_name()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=parent), name


def _temporary_name() -> bytes:
    return b".qchat-upload-" + secrets.token_hex(16).encode()


def _sync_directory(fd: int) -> None:
    with suppress(OSError):  # not every file system can; the file itself is on disk
        os.fsync(fd)
