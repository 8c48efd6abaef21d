"""The check that a test run leaves nothing behind, made to find what small programs leave."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (
    "import sys; from tests import leakcheck; leakcheck.SETTLE = {}; sys.exit(leakcheck.main(sys.argv[1:]))"
)


def check(script: str, settle: float = 0.1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", PROGRAM.format(settle), "bash", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("code", [0, 5])
def test_exit_code(code: int) -> None:
    """The exit code of a command that leaves nothing is handed on."""
    assert check(f"exit {code}").returncode == code


def test_signal() -> None:
    """A command that died by a signal failed."""
    assert check("kill -KILL $$").returncode == 128 + 9


@pytest.mark.parametrize(
    "leave",
    [
        "sleep 300 &",
        "setsid sleep 300 &",
        "(setsid bash -c 'sleep 300; true' &) &",
        "env -i setsid sleep 300 >/dev/null 2>&1 &",
    ],
)
def test_process(leave: str) -> None:
    """A process that was left behind is named, fails the run, and is ended."""
    done = check(f"{leave} exit 0")
    assert done.returncode == 1
    assert "left behind: process" in done.stderr
    assert "sleep 300" in done.stderr


def test_failed_run() -> None:
    """A run that has failed keeps its exit code when it leaves something behind as well."""
    done = check("setsid sleep 300 & exit 3")
    assert done.returncode == 3
    assert "sleep 300" in done.stderr


def test_who_started_it() -> None:
    """A process that was left behind is put down to the test that started it."""
    done = check("PYTEST_CURRENT_TEST='test_x.py::test_y (call)' setsid sleep 300 & exit 0")
    assert "started by test_x.py::test_y (call)" in done.stderr


@pytest.mark.parametrize(
    ("listen", "named"),
    [
        ("s = socket.create_server(('127.0.0.1', 0))", "listening on TCP port "),
        ("s = socket.create_server(('::1', 0), family=socket.AF_INET6)", "listening on TCP port "),
        (
            "s = socket.socket(socket.AF_UNIX); s.bind('\\0qchat-leakcheck'); s.listen()",
            "listening on Unix socket @qchat-leakcheck",
        ),
    ],
)
def test_socket(listen: str, named: str) -> None:
    """A socket that still listens is named with the process that holds it."""
    program = f"import os, socket, time; {listen}; os.fork() or time.sleep(300)"
    assert named in check(f'{shlex.quote(sys.executable)} -c "{program}"').stderr


@pytest.mark.parametrize("make", ["mktemp", "mktemp -d", "touch $TMPDIR/.hidden"])
def test_temporary_file(make: str) -> None:
    """A file or directory in the temporary directory fails the run, is named, and is removed."""
    done = check(f"{make} >/dev/null")
    assert done.returncode == 1
    left = Path(done.stderr.split("left behind: file ")[1].strip())
    assert not left.exists()
    assert not left.parent.exists()


def test_what_ends_by_itself() -> None:
    """What is about to end gets the time to."""
    assert check("setsid sleep 0.2 & exit 0", settle=30).returncode == 0
