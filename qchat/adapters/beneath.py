"""Opening files beneath a directory whose content is hostile.

Whoever owns the tree may swap a directory for a symbolic link between any two system calls, name a
FIFO like a file, hold a lease on it, or nest directories deeper than a path can be long. So nothing
here takes a path from the root of the file system, follows a link, crosses a mount or waits.

``openat2`` resolves a whole path in one call that cannot be raced. Where it is missing (old kernels,
seccomp filters of containers) a path is walked one component at a time, each with ``O_NOFOLLOW``.
"""

import ctypes
import errno
import os
import stat
from contextlib import suppress
from functools import cache

_SYS_OPENAT2 = 437  # on every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV

_PATH_BYTES = 4000
"""Longest path that is resolved in one step: the kernel's limit, less a little."""
_NAME_BYTES = 255
_RETRIES = 16

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEVER_WAIT = os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


class WorkspaceError(Exception):
    """What was asked of a workspace cannot be done; the text says why, and holds no path."""


class NotFound(WorkspaceError):
    """Nothing has this name."""


class Unnameable(NotFound):
    """Nothing can have this name: it holds a NUL byte, or a part of it is longer than 255 bytes."""


class NotRegular(WorkspaceError):
    """The name belongs to something that is not a regular file: a directory, FIFO, socket or device."""


class Outside(WorkspaceError):
    """The path leads out of the workspace, or might: ``..``, a symbolic link, another mount."""


class Denied(WorkspaceError):
    """The permissions that the agent gave the file or its directory forbid it."""


class Busy(WorkspaceError):
    """The agent holds a lease on the file, or keeps changing its directories; worth trying again."""


class Exists(WorkspaceError):
    """There is something of this name already."""


_BY_ERRNO: dict[int, tuple[type[WorkspaceError], str]] = {
    errno.ENOENT: (NotFound, "there is no such file"),
    errno.ENOTDIR: (NotFound, "there is no such file: a part of the path is not a directory"),
    errno.ENAMETOOLONG: (
        Unnameable,
        "a part of the path is longer than 255 bytes",
    ),
    errno.ELOOP: (Outside, "a symbolic link is never followed"),
    errno.EXDEV: (Outside, "the path leads out of the workspace"),
    errno.EACCES: (Denied, "the file's permissions do not allow it"),
    errno.EPERM: (Denied, "the file's permissions do not allow it"),
    errno.EAGAIN: (Busy, "the file is in use"),
    errno.ENXIO: (NotRegular, "not a regular file"),
    errno.ENODEV: (NotRegular, "not a regular file"),
    errno.EISDIR: (NotRegular, "not a regular file but a directory"),
    errno.EEXIST: (Exists, "there is a file of this name already"),
    errno.ENOTEMPTY: (NotRegular, "not a regular file but a directory"),
}


def refused(error: OSError) -> WorkspaceError | OSError:
    """What a caller is told for ``error``: itself when it says nothing of the path (ENOSPC, EIO)."""
    kind, text = _BY_ERRNO.get(error.errno or 0, (None, ""))
    return kind(text) if kind else error


def parts_of(path: bytes) -> list[bytes]:
    """The components of a relative path.

    :raises Outside: for an absolute path, an empty one, ``.`` and ``..``.
    :raises Unnameable: for a NUL byte, and for a part that no file system takes.
    """
    if b"\0" in path:
        raise Unnameable("the name holds a NUL byte")
    parts = path.split(b"/")
    if not path or any(part in (b"", b".", b"..") for part in parts):
        raise Outside("the path has to be relative, without empty parts, '.' and '..'")
    if any(len(part) > _NAME_BYTES for part in parts):
        raise Unnameable(f"a part of the path is longer than {_NAME_BYTES} bytes")
    return parts


def open_beneath(root: int, parts: list[bytes], flags: int) -> int:
    """Open what ``parts`` name beneath the directory ``root``. Never waits, never follows a link.

    :raises OSError: ELOOP for a link anywhere, EXDEV for a mount, EAGAIN for a lease, and the usual ones.
    """
    if len(parts) == 1:
        return _open_step(root, parts[0], flags | _NEVER_WAIT)
    parent = open_directory(root, parts[:-1], os.O_PATH)
    try:
        return _open_step(parent, parts[-1], flags | _NEVER_WAIT)
    finally:
        os.close(parent)


def open_directory(root: int, parts: list[bytes], flags: int = os.O_RDONLY) -> int:
    """Open a directory beneath ``root``, however deep; ``parts`` may be empty.

    :raises OSError: ENOTDIR for anything else, and as :func:`open_beneath`.
    """
    steps = _steps(parts)
    fd = os.open(".", (flags if not steps else os.O_PATH) | _DIRECTORY, dir_fd=root)
    for number, step in enumerate(steps, 1):
        try:
            below = _open_step(fd, step, (flags if number == len(steps) else os.O_PATH) | _DIRECTORY)
        finally:
            os.close(fd)
        fd = below
    return fd


def _steps(parts: list[bytes]) -> list[bytes]:
    """The path, in pieces that are short enough for the kernel."""
    steps: list[bytes] = []
    piece: list[bytes] = []
    length = 0
    for part in parts:
        if piece and length + len(part) >= _PATH_BYTES:
            steps.append(b"/".join(piece))
            piece, length = [], 0
        piece.append(part)
        length += len(part) + 1
    return [*steps, b"/".join(piece)] if piece else steps


def force_directory(parent: int, name: bytes, bits: int = 0o700) -> int:
    """Open a directory for reading, after giving its owner ``bits`` if its permissions forbid it.

    :raises OSError: when it is not a directory, or not ours to change.
    """
    fd = _open_step(parent, name, os.O_PATH | _DIRECTORY)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode & bits != bits:
            # chmod by name would follow a link that took the directory's place. An O_PATH descriptor
            # takes no fchmod, but its entry in /proc leads to the very directory that was opened.
            # Where it is forbidden the directory may be readable all the same (for root it is).
            with suppress(PermissionError):
                os.chmod(f"/proc/self/fd/{fd}", mode | bits)
        return os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=fd)
    finally:
        os.close(fd)


def _open_step(root: int, path: bytes, flags: int) -> int:
    return (_openat2 if has_openat2() else _walk)(root, path, flags)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_libc = ctypes.CDLL(None, use_errno=True)


def _openat2(root: int, path: bytes, flags: int) -> int:
    # O_NOFOLLOW would only turn the ELOOP of NO_SYMLINKS into the ENOTDIR of O_DIRECTORY.
    how = _OpenHow(flags & ~os.O_NOFOLLOW, 0, _RESOLVE)
    for _ in range(_RETRIES):
        fd: int = _libc.syscall(_SYS_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        # EAGAIN: something was renamed meanwhile (then once more helps), or a lease is held.
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


@cache
def has_openat2() -> bool:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, b".", os.O_PATH | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def _walk(root: int, path: bytes, flags: int) -> int:
    *above, name = path.split(b"/")
    mount = _mount_of(root)
    fd = root
    for part, how in [*((part, os.O_PATH | _DIRECTORY) for part in above), (name, flags)]:
        try:
            below = _step_into(fd, part, how | os.O_NOFOLLOW, mount)
        finally:
            if fd != root:
                os.close(fd)
        fd = below
    return fd


def _step_into(fd: int, name: bytes, flags: int, mount: bytes) -> int:
    try:
        below = os.open(name, flags, dir_fd=fd)
    except NotADirectoryError:
        # openat2 says ELOOP for a link where a directory was asked for; so do we.
        if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise
    if _mount_of(below) != mount:
        os.close(below)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return below


def _mount_of(fd: int) -> bytes:
    """What names the mount that a descriptor is on: bind mounts of one file system share its device."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            return next(line for line in info if line.startswith(b"mnt_id:"))
    except OSError:
        return b"%d" % os.fstat(fd).st_dev
