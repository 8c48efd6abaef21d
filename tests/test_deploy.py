"""What deploy/ has is well-formed: looked at by the tools of those who read it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.settings import Settings, variables
from tests.harness import ROOT

DEPLOY = ROOT / "deploy"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_dockerfile() -> None:
    """hadolint has nothing to say of the Dockerfile."""
    assert run(Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile") == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs the package systemd")
def test_unit(tmp_path: Path) -> None:
    """systemd knows every word of the unit, and calls its exposure at most 5 of 10."""
    unit = tmp_path / "qchat.service"
    unit.write_text(
        (DEPLOY / "qchat.service").read_text().replace("/opt/qchat/bin/qchat-server", "/bin/true")
    )
    assert run("systemd-analyze", "verify", unit) == ""
    run("systemd-analyze", "security", "--offline=true", "--threshold=50", unit)


@pytest.mark.skipif(shutil.which("caddy") is None, reason="needs caddy: apt-get install caddy")
def test_caddyfile(tmp_path: Path) -> None:
    """Caddy understands every word of its file."""
    env = {**os.environ, "HOME": str(tmp_path)}  # where it keeps what it made
    command: list[str | Path] = [
        "caddy",
        "validate",
        "--adapter",
        "caddyfile",
        "--config",
        DEPLOY / "Caddyfile",
    ]
    assert subprocess.run(command, capture_output=True, env=env, check=False).returncode == 0


def test_whole_answers_are_waited_for() -> None:
    """nginx waits for a whole answer for longer than a turn may take."""
    seconds = re.search(r"proxy_read_timeout (\d+)s", (DEPLOY / "nginx.conf").read_text())
    assert seconds is not None
    assert int(seconds[1]) > Settings().qcli_timeout


def test_variables() -> None:
    """Every variable of the service that is set there exists."""
    known = {variable.metadata["name"] for variable in variables()}
    for file in DEPLOY.iterdir():
        named = set(re.findall(r"\bQCHAT_[A-Z_]+\b", file.read_text()))
        assert named <= known, file.name
