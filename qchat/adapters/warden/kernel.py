"""The kernel's calls that the standard library does not have, and what is made of them."""

import ctypes
import os
import resource
from collections.abc import Mapping

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
LANDLOCK_RESTRICT_SELF = 446  # on every architecture
INSTRUCTION_BYTES = 8

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int | bytes = 0, pointer: object = 0) -> None:
    if _libc.prctl(option, value, pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"prctl({option})")


def give_up_rights(user: tuple[int, int] | None, ruleset: int | None) -> None:
    """Become ``user`` (uid, gid), never to get a privilege again, inside the domain of ``ruleset``.

    :raises OSError: when the kernel refuses.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    # bubblewrap refuses to run with capabilities, such as those that systemd grants to bind a port.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if ruleset is not None:
        restrict(ruleset)
    if user is not None:
        uid, gid = user
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # An agent may run as the same user; this keeps it from tracing us where nothing else does.
    prctl(PR_SET_DUMPABLE, 0)


def open_ways(covers: list[str], ways: list[str]) -> None:
    """Let a user come to some paths and no others beneath directories that it may not search.

    In a mount namespace of our own, every directory of ``covers`` gets an empty one on top, with only
    what ``ways`` name in it. Only root can do that; where it cannot, nothing happens.

    :raises OSError: when a mount fails.
    """
    if not covers or _libc.unshare(CLONE_NEWNS) != 0:
        return  # then bubblewrap says what it cannot find, and the service what helps
    _mount(b"none", "/", None, MS_REC | MS_SLAVE)
    # Opened in this namespace: a mount of another one cannot be bound.
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in ways}
    for cover in covers:
        _mount(b"none", cover, b"tmpfs", 0, b"mode=0711,size=64k,nr_inodes=1k")
    for path, fd in opened.items():
        source = f"/proc/self/fd/{fd}"
        os.makedirs(os.path.dirname(path), 0o711, exist_ok=True)
        if os.path.isdir(source):
            os.makedirs(path, exist_ok=True)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        _mount(source.encode(), path, None, MS_BIND | MS_REC)
        os.close(fd)


def _mount(source: bytes, target: str, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    if _libc.mount(source, os.fsencode(target), kind, flags, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def restrict(ruleset: int) -> None:
    """Enter a Landlock domain."""
    if _libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "landlock_restrict_self")


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_calls(fd: int) -> None:
    """Install a seccomp filter."""
    code = os.pread(fd, 1 << 16, 0)
    program = _Program(len(code) // INSTRUCTION_BYTES, code)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def apply(applied: Mapping[str, int]) -> None:
    """Confine this process: descriptors by name."""
    if "cgroup" in applied:
        os.write(applied["cgroup"], b"0")
    if "landlock" in applied or "seccomp" in applied:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in applied:
        restrict(applied["landlock"])
    if "seccomp" in applied:
        filter_calls(applied["seccomp"])


def limit(pid: int, limits: Mapping[str, int]) -> None:
    """Set resource limits of a process; 0 is this one.

    :raises OSError: when the kernel refuses.
    """
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.prlimit(pid, kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.prlimit(pid, kind, (most, most))
