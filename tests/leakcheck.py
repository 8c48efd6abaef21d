"""Runs a command and fails when it leaves anything behind: ``python leakcheck.py pytest -q``.

The command gets a temporary directory of its own, which must be empty at the end, and this process is
made the one that orphans fall to, so that whatever it started and did not end is found below here,
with the sockets it still listens on. What is found is named, ended and removed. Linux only.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TCP_LISTEN = "0A"
SO_ACCEPTCON = 0x10000
SETTLE = 3.0
"""Seconds in which what was told to end may do so."""


def main(argv: list[str]) -> int:
    """Exit code of the command, or 1 when that is 0 and something was left behind."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    # Short, because the path of a Unix socket is; open to all, because tests run as other users as well.
    scratch = Path(tempfile.mkdtemp(prefix="qchat-test."))
    scratch.chmod(0o755)
    try:
        code = run(argv, scratch)
        found = [*survivors(SETTLE), *files(scratch / "tmp")]
        for line in found:
            print(f"left behind: {line}", file=sys.stderr)
        return code or bool(found)
    finally:
        end_all()
        shutil.rmtree(scratch, ignore_errors=True)


def run(argv: list[str], scratch: Path) -> int:
    """Run the command to its end; its exit code, as a shell gives it."""
    temporary = scratch / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    # What pytest makes for tests is pytest's to remove, and is kept apart from what the project makes.
    pytest_options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --basetemp={scratch}/base".strip()
    env = {**os.environ, "TMPDIR": str(temporary), "PYTEST_ADDOPTS": pytest_options}
    child = subprocess.Popen(argv, env=env)
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    signal.signal(signal.SIGINT, lambda number, _: None)  # a terminal sends it to the command as well
    code = child.wait()
    return code if code >= 0 else 128 - code


def survivors(seconds: float) -> list[str]:
    """What is alive below this process after at most ``seconds``, a line for each."""
    deadline = time.monotonic() + seconds
    while has_children():
        # One may have ended since, and its child may be younger than the list: only the kernel knows.
        if time.monotonic() > deadline and (pids := list(descendants())):
            return [describe(pid) for pid in pids]
        time.sleep(0.02)
    return []


def has_children() -> bool:
    """Whether anything is alive below this process. What has ended is reaped; orphans become its children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def descendants() -> Iterator[int]:
    """All processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    below = children.get(os.getpid(), [])
    while below:
        yield from below
        below = [child for pid in below for child in children.get(pid, [])]


def describe(pid: int) -> str:
    """Which process it is, the test that started it, and where it listens."""
    words = [f"process {pid}: {read(pid, 'cmdline').replace(chr(0), ' ').strip() or '[unknown]'}"]
    for variable in read(pid, "environ").split("\0"):
        name, _, value = variable.partition("=")
        if name == "PYTEST_CURRENT_TEST":
            words.append(f"started by {value}")
    words += [f"listening on {address}" for address in listening(pid)]
    return ", ".join(words)


def read(pid: int, name: str) -> str:
    """A file of /proc, empty when the process has gone or is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def listening(pid: int) -> list[str]:
    """The TCP ports and Unix sockets on which a process accepts connections."""
    held = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                held.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for row in read(pid, f"net/{table}").splitlines()[1:]:
            fields = row.split()
            if fields[3] == TCP_LISTEN and fields[9] in held:
                found.append(f"TCP port {int(fields[1].rpartition(':')[2], 16)}")
    for row in read(pid, "net/unix").splitlines()[1:]:
        fields = row.split(maxsplit=7)
        if int(fields[3], 16) & SO_ACCEPTCON and fields[6] in held:
            found.append(f"Unix socket {fields[7]}")
    return found


def files(directory: Path) -> list[str]:
    """What is in a directory, a line for each entry."""
    return [f"file {path}" for path in sorted(directory.iterdir())]


def end_all() -> None:
    """Kill what is below this process, until nothing is."""
    deadline = time.monotonic() + 10
    while has_children() and time.monotonic() < deadline:
        for pid in descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
