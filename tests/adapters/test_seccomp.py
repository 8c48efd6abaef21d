"""The filter of system calls, run by an interpreter of its own for both processors."""

import errno
import struct

import pytest

from qchat.adapters import seccomp
from qchat.adapters.seccomp import ALLOW, KILL_PROCESS, UnknownMachine, compile_filter

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMNS = {"x86_64": 0, "aarch64": 1}
I386 = 0x40000003


def run(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would return: the verdict of the filter."""
    data = struct.pack(
        "IIQ6Q", number, arch, 0, *(argument & 2**64 - 1 for argument in (*arguments, *[0] * 6)[:6])
    )
    steps = list(struct.iter_unpack("HBBI", program))
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = steps[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("I", data, value)
            case 0x15:
                position += if_true if accumulator == value else if_false
            case 0x25:
                position += if_true if accumulator > value else if_false
            case 0x45:
                position += if_true if accumulator & value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(code)


def verdict(name: str, *arguments: int, machine: str = "x86_64", **options: bool) -> str:
    number = seccomp._NUMBERS[name][COLUMNS[machine]]
    assert number is not None
    found = run(compile_filter(machine=machine, **options), ARCHES[machine], number, *arguments)
    return "allow" if found == ALLOW else errno.errorcode[found & 0xFFFF]


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("keyctl", (), "EPERM"),
        ("io_uring_setup", (), "ENOSYS"),
        ("clone3", (), "ENOSYS"),
        ("ptrace", (), "allow"),
        ("clone", (17,), "allow"),
        ("clone", (0x10000000 | 17,), "EPERM"),
        ("clone", (0x3D0F00,), "allow"),
        ("unshare", (0x400,), "allow"),
        ("unshare", (0x80,), "EPERM"),
        ("unshare", (0x20000,), "EPERM"),
        ("ioctl", (0, 0x5401), "allow"),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0x5412 | 1 << 32), "EPERM"),
        ("ioctl", (0, 0x541C), "EPERM"),
        ("personality", (0xFFFFFFFF,), "allow"),
        ("personality", (0x40000,), "allow"),
        ("personality", (0x400000,), "EPERM"),
        ("socket", (1, 1, 0), "allow"),
        ("socket", (2, 1, 0), "allow"),
        ("socket", (2, 1, 6), "allow"),
        ("socket", (10, 2, 17), "allow"),
        ("socket", (2, 1, 262), "EPROTONOSUPPORT"),
        ("socket", (10, 1, 262), "EPROTONOSUPPORT"),
        ("socket", (16, 3, 0), "allow"),
        ("socket", (16, 3, 15), "EPROTONOSUPPORT"),
        ("socket", (40, 1, 0), "EAFNOSUPPORT"),
        ("socket", (17, 3, 0), "EAFNOSUPPORT"),
        ("socketpair", (1, 1, 0), "allow"),
        ("sendto", (0, 0, 0, 0x4000), "allow"),
        ("sendto", (0, 0, 0, 0x20000000), "ENOTSUP"),
        ("sendmsg", (0, 0, 0x20000000), "ENOTSUP"),
        ("sendmmsg", (0, 0, 0, 0x20000040), "ENOTSUP"),
    ],
)
def test_verdict(machine: str, name: str, arguments: tuple[int, ...], expected: str) -> None:
    """Each call gets the answer that is meant for it, by its number and its arguments."""
    assert verdict(name, *arguments, machine=machine) == expected


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("ptrace", (), "EPERM"),
        ("shmget", (), "EPERM"),
        ("prlimit64", (0,), "allow"),
        ("prlimit64", (1,), "EPERM"),
        ("setpriority", (0, 0), "allow"),
        ("setpriority", (0, 7), "EPERM"),
        ("socket", (1, 1, 0), "EPERM"),
        ("socketpair", (1, 1, 0), "allow"),
    ],
)
def test_verdict_without_namespaces(
    machine: str, name: str, arguments: tuple[int, ...], expected: str
) -> None:
    """Without namespaces what is shared with other processes is closed too."""
    assert verdict(name, *arguments, machine=machine, namespaces=False, unix_sockets=False) == expected


@pytest.mark.parametrize("machine", ARCHES)
def test_everything_else_is_allowed(machine: str) -> None:
    """A call that is not on the list goes through."""
    program = compile_filter(machine=machine)
    listed = {numbers[COLUMNS[machine]] for numbers in seccomp._NUMBERS.values()}
    for number in set(range(600)) - listed:
        assert run(program, ARCHES[machine], number) == ALLOW


@pytest.mark.parametrize("machine", ARCHES)
def test_other_processor(machine: str) -> None:
    """A call by another processor's numbers ends the process."""
    assert run(compile_filter(machine=machine), I386, 0) == KILL_PROCESS


def test_x32() -> None:
    """The second set of numbers of x86_64 does not exist."""
    found = run(compile_filter(machine="x86_64"), ARCHES["x86_64"], 0x40000000 | 39)
    assert found & 0xFFFF == errno.ENOSYS


def test_unknown_processor() -> None:
    """For a processor whose numbers are not known there is no filter, rather than a wrong one."""
    with pytest.raises(UnknownMachine, match="riscv64"):
        compile_filter(machine="riscv64")
