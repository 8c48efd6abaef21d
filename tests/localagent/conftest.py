"""What the tests of the built-in agent share: running it as the service does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ARGUMENTS = ["-P", "-m", "qchat.localagent", "chat", "--no-interactive", "--wrap", "never"]

Start = Callable[..., subprocess.Popen[bytes]]
Ask = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def start(home: Path, workspace: Path) -> Start:
    """Starts the agent in the workspace; keyword arguments are its variables."""

    def start(prompt: str, *options: str, trusted: bool = True, **env: str) -> subprocess.Popen[bytes]:
        trust = ["--trust-all-tools"] if trusted else []
        process = subprocess.Popen(
            [sys.executable, *ARGUMENTS, *trust, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=workspace,
            env={"HOME": str(home), "PATH": os.environ["PATH"], **temporary(), **env},
        )
        assert process.stdin is not None
        process.stdin.write(prompt.encode())
        process.stdin.close()
        process.stdin = None  # communicate() would flush it
        return process

    return start


def temporary() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}


@pytest.fixture
def ask(start: Start) -> Ask:
    """Runs the agent to its end."""

    def ask(prompt: str, *options: str, **more: object) -> subprocess.CompletedProcess[bytes]:
        with start(prompt, *options, **more) as process:
            output, errors = process.communicate(timeout=100)
            return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return ask
