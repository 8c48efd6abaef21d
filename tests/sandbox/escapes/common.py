"""Hostile programs that try to leave a session; this part runs them and says which got through.

They are read as text, joined, and given to an interpreter inside the sandbox, so they import nothing but
the standard library. An attempt gets ``told``, the things of others that it is after, and returns
what it got hold of; it raises OSError, or returns nothing, where it was held back.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Told = dict[str, Any]
Attempt = Callable[[Told], object]

ATTEMPTS: dict[str, Attempt] = {}
SECONDS = 10
libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
NUMBERS = {
    "x86_64": {"keyctl": 250, "add_key": 248, "ptrace": 101, "bpf": 321, "perf_event_open": 298},
    "aarch64": {"keyctl": 219, "add_key": 217, "ptrace": 117, "bpf": 280, "perf_event_open": 241},
}[MACHINE]


def escape(attempt: Attempt) -> Attempt:
    """Register an attempt by its name."""
    ATTEMPTS[attempt.__name__] = attempt
    return attempt


def call(number: int, *arguments: Any) -> int:
    """A system call that the standard library does not have.

    :raises OSError: when it fails.
    """
    # Whole registers: what is left undefined in the upper half of one would be part of a pointer or a flag.
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def check(result: int) -> int:
    """Turn a failure of a function of the C library into OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def is_process(pid: int, started: str) -> bool:
    """Whether a number names the process that is meant: in a namespace it may be another, or our own."""
    with suppress(OSError, IndexError):
        return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19].decode() == started
    return False


def others(told: Told) -> list[int]:
    """The processes that are not ours, of those that are in sight."""
    pairs = [(told["pid"], told["started"]), (told["other_pid"], told["other_started"])]
    return [pid for pid, started in pairs if is_process(pid, started)]


def in_child(attempt: Callable[[], object]) -> bool:
    """Whether an attempt works in a process of its own, which it may spoil or lose."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if attempt() is not False else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def one(attempt: Attempt, told: Told) -> dict[str, str]:
    """Run an attempt in a process of its own, bounded in time."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        try:
            got = attempt(told)
            result = {"through": repr(got)[:200]} if got else {"held": "nothing there"}
        except (OSError, ValueError) as error:
            result = {"held": repr(error)}
        except BaseException:  # noqa: BLE001  # a mistake of the attempt, for the test to report
            result = {"broken": traceback.format_exc()}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not said:
        return {"held": f"killed by signal {status & 127}"}
    found: dict[str, str] = json.loads(said)
    return found


def main(told: Told) -> None:
    """Make all attempts, or the one that is asked for, and write what became of them."""
    names = told.get("only") or list(ATTEMPTS)
    results = {name: one(ATTEMPTS[name], told) for name in names}
    sys.stdout.write(json.dumps(results))
    sys.stdout.flush()
