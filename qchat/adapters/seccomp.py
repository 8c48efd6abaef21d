"""The system calls that an agent has no use for, and that widen the kernel's attack surface.

A deny-list after Flatpak's, compiled to classic BPF without a library. It backs the namespaces up: what
is denied here is what leads out of them or round Landlock (new user namespaces, TIOCSTI, keyrings,
io_uring, protocols whose connections Landlock does not see).

The program is a list of rules, one a system call, and falls through to "allow". The kernel remembers
which calls are allowed whatever their arguments are, and does not run the program for those again.
"""

import errno
import os
import struct
from collections.abc import Iterator

from attrs import frozen

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_IF_EQUAL, _IF_GREATER, _IF_ANY_BIT = 0x15, 0x25, 0x45
_RETURN = 0x06

_NUMBER, _ARCH = 0, 4


def _argument(index: int) -> int:
    """Offset of an argument's low half: these arguments are 32 bits wide, the kernel drops the rest."""
    return 16 + 8 * index


# (x86_64, aarch64); None where the call does not exist.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_mempolicy": (239, 236),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "semget": (64, 190),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000

# A library that gets ENOSYS does without; EPERM would make it give up.
_MISSING = {
    "clone3", "fsconfig", "fsmount", "fsopen", "fspick", "io_uring_enter", "io_uring_register",
    "io_uring_setup", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
}  # fmt: skip
# What namespaces keep among an agent's own processes.
_SHARED = {
    "kcmp", "mq_open", "msgget", "prlimit64", "process_vm_readv", "process_vm_writev", "ptrace",
    "sched_setaffinity", "semget", "setpriority", "shmget",
}  # fmt: skip

_NEW_NAMESPACES = 0x7E020000  # user, mount, network, PID, IPC, UTS, cgroup
_NEW_TIME = 0x80  # for unshare; clone has the exit signal there
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAST_OPEN = 0x20000000  # a connection that Landlock is not asked about
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0x60000, 0xFFFFFFFF)
# What an argument has to be: (its place, values); a process of 0 is the caller.
_ARGUMENTS = {
    "personality": (0, _PERSONALITIES),
    "prlimit64": (0, (0,)),
    "sched_setaffinity": (0, (0,)),
    "setpriority": (1, (0,)),
}
# What flags must not hold: (place of the argument, bits, error).
_FLAGS = {
    "clone": (0, _NEW_NAMESPACES, errno.EPERM),
    "sendmmsg": (3, _FAST_OPEN, errno.EOPNOTSUPP),
    "sendmsg": (2, _FAST_OPEN, errno.EOPNOTSUPP),
    "sendto": (3, _FAST_OPEN, errno.EOPNOTSUPP),
    "unshare": (0, _NEW_NAMESPACES | _NEW_TIME, errno.EPERM),
}
_CONDITIONAL = {"ioctl", "socket", "socketpair", *_ARGUMENTS, *_FLAGS}
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_PROTOCOLS = (0, 6, 17)  # default, TCP, UDP; not Multipath TCP and SCTP, which Landlock does not see
_ROUTE = 0


class UnknownMachine(Exception):
    """There is no filter for this processor; the text names it."""


@frozen
class _Instruction:
    code: int
    value: int
    if_true: int = 0
    """How many instructions to skip."""
    if_false: int = 0


def compile_filter(*, namespaces: bool = True, unix_sockets: bool = True, machine: str = "") -> bytes:
    """The filter, as an array of ``struct sock_filter``.

    ``namespaces``: whether the agent has its own; without them it may neither trace processes, nor
    change the priority and limits of others, nor use memory and queues that all processes share.
    ``unix_sockets``: whether sockets of the family AF_UNIX may be made (pairs may always).

    :raises UnknownMachine: for anything but x86_64 and aarch64.
    """
    machine = machine or os.uname().machine
    if machine not in _MACHINES:
        raise UnknownMachine(machine)
    column, arch = _MACHINES[machine]
    program = [
        _Instruction(_LOAD, _ARCH),
        _Instruction(_IF_EQUAL, arch, 1, 0),
        _Instruction(_RETURN, KILL_PROCESS),  # 32-bit programs: other numbers, and no filter for them
        _Instruction(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_Instruction(_IF_GREATER, _X32_BIT - 1, 0, 1), _deny(errno.ENOSYS)]
    for name, numbers in _NUMBERS.items():
        number = numbers[column]
        if number is None or (name in _SHARED and namespaces):
            continue
        body = [*_conditions(name, unix_sockets)] if name in _CONDITIONAL else [_refusal(name)]
        program += [_Instruction(_IF_EQUAL, number, 0, len(body)), *body]
    program.append(_Instruction(_RETURN, ALLOW))
    return b"".join(
        struct.pack("HBBI", step.code, step.if_true, step.if_false, step.value) for step in program
    )


def _deny(number: int) -> _Instruction:
    return _Instruction(_RETURN, _ERRNO | number)


def _refusal(name: str) -> _Instruction:
    return _deny(errno.ENOSYS if name in _MISSING else errno.EPERM)


def _conditions(name: str, unix_sockets: bool) -> list[_Instruction]:
    """A block that ends in a verdict whichever way it goes."""
    allow = _Instruction(_RETURN, ALLOW)
    deny = _deny(errno.EPERM)
    if name in ("socket", "socketpair"):
        return _socket(unix_sockets or name == "socketpair")
    if name == "ioctl":
        return [*_unless(1, (_TIOCSTI, _TIOCLINUX), allow), deny]
    if name in _ARGUMENTS:
        return [*_unless(*_ARGUMENTS[name], deny), allow]
    argument, bits, number = _FLAGS[name]
    return [_load(argument), _Instruction(_IF_ANY_BIT, bits, 0, 1), _deny(number), allow]


def _load(argument: int) -> _Instruction:
    return _Instruction(_LOAD, _argument(argument))


def _unless(argument: int, values: tuple[int, ...], verdict: _Instruction) -> list[_Instruction]:
    """Come to ``verdict`` unless the argument has one of the values; then go on behind it."""
    tests = [_Instruction(_IF_EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
    return [_load(argument), *tests, verdict]


def _socket(unix_sockets: bool) -> list[_Instruction]:
    """Families by an allow-list; each with the protocols that can be kept an eye on."""
    allow = _Instruction(_RETURN, ALLOW)
    deny = _deny(errno.EAFNOSUPPORT)
    internet = [*_unless(2, _PROTOCOLS, _deny(errno.EPROTONOSUPPORT)), allow]
    netlink = [*_unless(2, (_ROUTE,), _deny(errno.EPROTONOSUPPORT)), allow]
    unix = [allow] if unix_sockets else [_deny(errno.EPERM)]
    families: list[tuple[tuple[int, ...], list[_Instruction]]] = [
        ((_UNIX,), unix),
        ((_INET, _INET6), internet),
        ((_NETLINK,), netlink),
    ]
    return [*_switch(families), deny]


def _switch(cases: list[tuple[tuple[int, ...], list[_Instruction]]]) -> Iterator[_Instruction]:
    """One case a family; every test loads the family anew, as the cases load other things."""
    for values, body in cases:
        yield _load(0)
        for index, value in enumerate(values):
            last = index == len(values) - 1
            yield _Instruction(_IF_EQUAL, value, len(values) - 1 - index, len(body) if last else 0)
        yield from body
