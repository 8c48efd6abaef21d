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

    _parent: int
    _name: bytes
    _fd: int
    _temporary: bytes | None
    _replace: bool
    _owner: os.stat_result

    @classmethod
    def begin(cls, root: int, parts: list[bytes], *, replace: bool) -> Self:
        """:raises OSError: as the file system says; NotRegular and Exists as :meth:`.Workspace.upload`."""
        owner = os.stat(root)
        parent = _make_parents(root, parts[:-1], owner)
        try:
            _refuse_early(parent, parts[-1], replace)
            fd, temporary = _open_temporary(parent)
        except BaseException:
            os.close(parent)
            raise
        return cls(parent, parts[-1], fd, temporary, replace, owner)

    def write(self, data: bytes | memoryview) -> None:
        """:raises OSError: when the disk is full."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self) -> os.stat_result:
        """Give the file its name, in place of the one that has it, and tell its status.

        :raises WorkspaceError: Exists, NotRegular when the name belongs to a directory by now.
        :raises OSError: when the disk is full.
        """
        try:
            os.fchmod(self._fd, self._mode())
            if os.geteuid() == 0:
                os.fchown(self._fd, self._owner.st_uid, self._owner.st_gid)
            os.fsync(self._fd)
            self._give_name()
            _sync_directory(self._parent)
        except OSError as error:
            raise refused(error) from None
        return os.fstat(self._fd)

    def _mode(self) -> int:
        """That of the file that is replaced: a script stays executable."""
        with suppress(OSError):
            status = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                return stat.S_IMODE(status.st_mode) & 0o777
        return 0o644

    def _give_name(self) -> None:
        if self._temporary is None:
            # A link cannot replace: where that is wanted the file goes by a hidden name for a moment.
            self._temporary = _temporary_name() if self._replace else None
            target = self._temporary or self._name
            os.link(f"/proc/self/fd/{self._fd}", target, dst_dir_fd=self._parent, follow_symlinks=True)
        elif not self._replace:
            directories = {"src_dir_fd": self._parent, "dst_dir_fd": self._parent}
            os.link(self._temporary, self._name, **directories, follow_symlinks=False)
            return  # close() takes the hidden name away
        if self._temporary is not None:
            os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            self._temporary = None

    def close(self) -> None:
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._parent)
        os.close(self._fd)
        os.close(self._parent)

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
                below = open_directory(fd, [part])
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
                below = open_directory(fd, [part])
                if os.geteuid() == 0:
                    os.fchown(below, owner.st_uid, owner.st_gid)
        finally:
            os.close(fd)
        fd = below
    return fd


def _refuse_early(parent: int, name: bytes, replace: bool) -> None:
    """Not after a gigabyte has come in."""
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not replace:
            raise Exists("there is a file of this name already")
        if stat.S_ISDIR(status.st_mode):
            raise NotRegular("not a regular file but a directory")


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
