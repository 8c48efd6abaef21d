"""The stand-in for the Q CLI does what the recordings say that the real one does."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness import FAKES, ROOT

RECORDINGS = ROOT / "tests" / "data" / "recordings"
CHAT = (str(FAKES / "q"), "chat", "--no-interactive")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def options(workspace: Path) -> dict[str, Any]:
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace.parent)}
    return {"cwd": workspace, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def ask(workspace: Path, prompt: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [*CHAT, *(arguments or ("--trust-all-tools",))]
    return subprocess.run(command, input=prompt.encode(), check=False, timeout=60, **options(workspace))


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "prompt_bang", "prompt_slash_quit", "prompt_at", "prompt_empty", "first_run_with_banner"),
        *("failure_throttled", "failure_not_logged_in", "failure_bad_model", "tool_not_trusted"),
    ],
)
def test_it_prints_and_ends_as_recorded(workspace: Path, name: str) -> None:
    """Asked the same as the real CLI, it writes the same to stdout and exits the same."""
    facts = json.loads((RECORDINGS / f"{name}.json").read_text())
    if name == "failure_not_logged_in":
        (workspace / ".fake-q").write_text("login\n")
    done = ask(workspace, facts["prompt"], *facts["argv"][3:])
    assert (done.returncode, done.stdout) == (facts["exit"], (RECORDINGS / f"{name}.out").read_bytes())


def test_it_remembers_a_directory(workspace: Path) -> None:
    """With --resume a conversation goes on; without, it begins anew; an interrupted exchange is forgotten."""
    ask(workspace, "say one")
    assert b"history has 2 messages" in ask(workspace, "history", "--resume").stdout
    with subprocess.Popen([*CHAT, "--resume"], stdin=subprocess.PIPE, **options(workspace)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"say half of it\nhang")
        process.stdin.close()
        while process.stdout.read(1) != b"f":
            pass
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert b"history has 4 messages" in ask(workspace, "history", "--resume").stdout
    assert b"history has 0 messages" in ask(workspace, "history").stdout
    assert len((workspace.parent / ".fake-q-runs").read_text().splitlines()) == 5


def test_it_answers_with_the_prompt_that_is_no_step(workspace: Path) -> None:
    """A prompt that begins with no step is the answer, rendered; a slash before a path is lost."""
    assert ask(workspace, "/etc/hosts **is**").stdout.startswith(b"\x1b[38;5;10m> \x1b[0metc/hosts \x1b[1mis")


def test_it_replays_a_recording(workspace: Path) -> None:
    """A recording comes with its stderr and its exit code."""
    done = ask(workspace, "replay interrupted_in_tool")
    assert done.stdout == (RECORDINGS / "interrupted_in_tool.out").read_bytes()
    assert done.stderr.endswith((RECORDINGS / "interrupted_in_tool.err").read_bytes())
    assert done.returncode == 1


def test_it_leaves_processes_behind(workspace: Path) -> None:
    """What a tool starts in the background outlives it."""
    done = ask(workspace, 'tool execute_bash {"command": "setsid sleep 300 > /dev/null 2>&1 & echo $!"}')
    pid = int(next(line for line in done.stdout.splitlines() if line.isdigit()))
    os.kill(pid, signal.SIGKILL)
