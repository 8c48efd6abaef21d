"""The doctor: each line ok, or what to do."""

import time
from pathlib import Path
from typing import Any

from qchat.adapters.statedir import StateDir
from qchat.admin.agentcheck import version_of
from tests.admin.base import Base, Told, admin, admin_beside
from tests.harness import alive, environment, server


def agent(directory: Path, script: str) -> str:
    """A PATH with a ``q`` that runs ``script``."""
    directory.mkdir(exist_ok=True)
    program = directory / "q"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def line(told: Told, subject: str) -> dict[str, Any]:
    [found] = [check for check in told.json["checks"] if check["subject"] == subject]
    assert isinstance(found, dict)
    assert bool(found["advice"]) == (found["status"] != "ok")
    return found


def test_all_is_well(base: Base, tmp_path: Path) -> None:
    """Where all is well every line is ok, or a warning with what to do, and the exit code is 0."""
    path = agent(tmp_path / "bin", 'echo "q 1.19.7"')
    told = admin(base.path, "doctor", "--json", PATH=path)
    assert told.code == 0
    assert told.json["ok"] is True
    assert line(told, "agent")["text"].startswith("q 1.19.7 ")
    assert line(told, "directory")["status"] == "ok"
    assert line(told, "server")["text"] == "not running"
    assert told.json["settings"]["QCHAT_AGENT"] == "q"
    plain = admin(base.path, "doctor", PATH=path)
    assert plain.code == 0
    assert "QCHAT_AGENT=q" in plain.out
    assert all(text.split()[0] in ("ok", "warn", "->") for text in plain.out.splitlines())


def test_an_agent_that_is_not_there(base: Base) -> None:
    """Without the agent that the settings ask for the doctor fails, and says how to get one."""
    told = admin(base.path, "doctor", "--json", PATH="/usr/bin:/bin")
    assert told.code == 1
    assert line(told, "agent")["status"] == "fail"


def test_an_agent_that_fails(base: Base, tmp_path: Path) -> None:
    """An agent that does not tell its version is a failure with what it said."""
    path = agent(tmp_path / "bin", "echo broken library >&2; exit 127")
    told = admin(base.path, "doctor", "--json", PATH=path)
    assert told.code == 1
    assert "broken library" in line(told, "agent")["text"]


def test_an_agent_that_hangs_is_ended(tmp_path: Path) -> None:
    """An agent that does not end is killed with what it started, after a bounded time."""
    path = agent(tmp_path / "bin", f"sleep 600 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/own; wait")
    begun = time.monotonic()
    version, why = version_of([str(tmp_path / "bin/q"), "--version"], path, seconds=1.0)
    assert version == ""
    assert "did not end" in why
    assert time.monotonic() - begun < 30
    for name in ("child", "own"):
        pid = int((tmp_path / name).read_text())
        deadline = time.monotonic() + 10
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(pid)


def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    """A base directory that can be made is fine, and the doctor does not make it."""
    told = admin(tmp_path / "new", "doctor", "--json", PATH=agent(tmp_path / "bin", "echo 1"))
    assert told.code == 0
    assert not (tmp_path / "new").exists()


def test_a_directory_that_cannot_be_one(tmp_path: Path) -> None:
    """A base directory that cannot be used is a failure that names the setting."""
    (tmp_path / "file").touch()
    told = admin(tmp_path / "file", "doctor", "--json", PATH=agent(tmp_path / "bin", "echo 1"))
    assert told.code == 1
    assert "SESSIONS_BASE_DIR" in line(told, "directory")["advice"]


def test_bad_settings(base: Base) -> None:
    """A setting that is not allowed is the doctor's first finding."""
    told = admin(base.path, "doctor", "--json", SESSION_EXPIRY="soon")
    assert told.code == 1
    assert "SESSION_EXPIRY='soon'" in line(told, "settings")["text"]


def test_a_lock_without_a_socket(base: Base, tmp_path: Path) -> None:
    """A server that holds the directory and does not answer is told with its process."""
    path = agent(tmp_path / "bin", "echo 1")
    other = StateDir.open(base.path)
    other.lock()
    try:
        told = admin(base.path, "doctor", "--json", PATH=path)
    finally:
        other.unlock()
    assert line(told, "server")["status"] == "warn"


async def test_beside_a_server(tmp_path: Path) -> None:
    """With a server running its settings, its agent and its isolation are what the doctor tells."""
    base = tmp_path / "sessions"
    async with server(environment(base, QCHAT_MAX_TURNS="3"), tmp_path / "log") as running:
        told = await admin_beside(base, "doctor", "--json", QCHAT_MAX_TURNS="4")
        assert f"process {running.process.pid}:" in line(told, "server")["text"]
        assert told.json["settings"]["QCHAT_MAX_TURNS"] == "3"
        assert line(told, "isolation")["text"] == "isolation is none (off)"
