"""Landlock: what a process gives up for itself and everything it starts, without any privilege.

A ruleset is made here and is only a descriptor; nothing is restricted before a process applies it to
itself. The warden does, once, for network and scopes: a *domain* is inherited, so every turn is born
inside it and it costs a turn nothing. (A domain belongs to a thread, so the service could do it in one
of its own; but the warden is a process of its own already, which also keeps the service out of reach.)

Rules about files are for agents without bubblewrap only: a domain that handles files may not mount.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from functools import cache

_CREATE_RULESET, _ADD_RULE = 444, 445  # on every architecture
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2
ABI_TRUNCATE, ABI_NETWORK, ABI_DEVICES, ABI_SCOPES = 3, 4, 5, 6

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE

READ = _EXECUTE | _READ_FILE | _READ_DIR
DEVICE = _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEVICE
EVERYTHING = (1 << 16) - 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("fd", ctypes.c_int32)]


class _PortRule(ctypes.Structure):
    _fields_ = [("access", ctypes.c_uint64), ("port", ctypes.c_uint64)]


@cache
def abi() -> int:
    """The version of Landlock that the kernel has; 0 for none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION)))


def network_ruleset(ports: Iterable[int] | None, closed: int = 0) -> int | None:
    """A ruleset that bounds TCP, and cuts off outside processes where the kernel can.

    With ``ports`` only these may be connected to, and none may be listened on. Without, every port but
    ``closed`` may be used (a rule a port: about 0.1 s). None when the kernel has nothing to offer.

    :raises OSError: when Landlock refuses.
    """
    if abi() < ABI_NETWORK:
        return None
    scopes = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if abi() >= ABI_SCOPES else 0
    fd = _create(_Ruleset(0, _BIND_TCP | _CONNECT_TCP, scopes))
    if ports is None:
        access, ports = _BIND_TCP | _CONNECT_TCP, (port for port in range(65536) if port != closed)
    else:
        access = _CONNECT_TCP
    for port in ports:
        _add(fd, _NET_PORT, _PortRule(access, port))
    return fd


def file_ruleset(rules: Iterable[tuple[int, int]]) -> int:
    """A ruleset under which only these may be reached: (descriptor of a file or directory, rights).

    :raises OSError: when Landlock refuses.
    """
    rights = _FILE_RIGHTS[max(version for version in _FILE_RIGHTS if version <= abi())]
    # A domain inside that of the warden: what is in it can neither trace nor signal what is not.
    fd = _create(_Ruleset(rights, 0, _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if abi() >= ABI_SCOPES else 0))
    for path_fd, access in rules:
        possible = rights if stat.S_ISDIR(os.fstat(path_fd).st_mode) else rights & _ON_FILES
        _add(fd, _PATH_BENEATH, _PathRule(access & possible, path_fd))
    return fd


def _create(attributes: _Ruleset) -> int:
    size = ctypes.sizeof(attributes)
    if abi() < ABI_SCOPES:
        size = 16 if abi() >= ABI_NETWORK else 8
    fd = int(_libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0))
    if fd < 0:
        raise _error("landlock_create_ruleset")
    return fd  # the kernel opens it close-on-exec


def _add(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    if _libc.syscall(_ADD_RULE, ruleset, kind, ctypes.byref(rule), 0) != 0:
        raise _error("landlock_add_rule")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), call)
