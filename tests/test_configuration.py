"""The settings as they are told: the page, the help, and what is in force."""

import subprocess
import sys
from pathlib import Path

import pytest

from qchat import configuration
from qchat.settings import Settings, SettingsError, environment, variables
from tests.harness import ROOT


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qchat", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_force(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    lines = (line.split(maxsplit=2) for line in done.stdout.splitlines() if " is not known" not in line)
    return {name: (value, source) for name, value, source in lines}


def test_the_page_is_up_to_date() -> None:
    """The page is what the settings say: else bin/qchat-server --help-markdown > docs/configuration.md."""
    assert (ROOT / "docs/configuration.md").read_text() == configuration.as_markdown()


def test_help_says_the_same() -> None:
    """The help has every variable with its meaning, its default and what it takes."""
    said = " ".join(run("--help").stdout.split())
    for variable in variables():
        facts = variable.metadata
        assert f"{facts['name']} {' '.join(facts['meaning'].split())}" in said
        assert " ".join(facts["allowed"].split()) in said


def test_check_says_where_values_come_from(tmp_path: Path) -> None:
    """The environment goes before the file, the file before the default; nothing is started."""
    file = tmp_path / "qchat.env"
    file.write_text('# mine\nQCHAT_MAX_TURNS=7\nexport QCHAT_LANG="en"\nPORT=1\nQCHAT_LOG_FILE=a=b#c\n')
    done = run("--check", "--env-file", str(file), PORT="8099", SESSIONS_BASE_DIR=str(tmp_path / "none"))
    assert done.returncode == 0
    found = in_force(done)
    assert found["PORT"] == ("8099", "environment")
    assert found["QCHAT_MAX_TURNS"] == ("7", "file")
    assert found["QCHAT_LANG"] == ("en", "file")
    assert found["QCHAT_LOG_FILE"] == ("a=b#c", "file")
    assert found["HOST"] == ("127.0.0.1", "default")
    assert found.keys() == {variable.metadata["name"] for variable in variables()}
    assert not (tmp_path / "none").exists()


def test_check_hides_secrets_and_tells_what_follows() -> None:
    """A token is never shown; what another setting decides is not called a default."""
    done = run("--check", HOST="0.0.0.0", QCHAT_TOKEN="s3cret-s3cret-s3cret-s3cret-s3cret", PATH="/usr/bin")
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout
    assert in_force(done)["QCHAT_SANDBOX"] == ("required", "follows from others")


@pytest.mark.parametrize("arguments", [["--check"], []])
def test_what_is_not_allowed(arguments: list[str]) -> None:
    """A bad value is one line that names it, and exit code 2, with and without --check."""
    done = run(*arguments, QCHAT_MAX_TURNS="many")
    assert done.returncode == 2
    assert done.stderr == (
        "qchat-server: QCHAT_MAX_TURNS='many' is not allowed: it takes a whole number of at least 1\n"
    )


def test_a_file_that_is_not_there() -> None:
    """A file that cannot be read is named."""
    done = run("--check", "--env-file", "/no/such/file")
    assert done.returncode == 2
    assert "/no/such/file" in done.stderr


def test_unknown_variables() -> None:
    """A variable that looks like ours is pointed out, with the nearest name where there is one."""
    said = configuration.unknown(
        {"QCHAT_MAX_TRUNS": "1", "QCHAT_XYZZY": "1", "QCHAT_LANG": "en", "QCHAT_PYTHON": "x", "PATH": ""}
    )
    assert said == ["QCHAT_MAX_TRUNS is not known: is QCHAT_MAX_TURNS meant?", "QCHAT_XYZZY is not known"]
    assert said[0] in run("--check", QCHAT_MAX_TRUNS="1").stdout


def test_values_of_a_file_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's values are not expanded, and reach the agent's environment as the service's own do."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    (tmp_path / "env").write_text("AWS_PROFILE='a ${HOME} b'\nQCHAT_MAX_TURNS=\n")
    settings = Settings.from_env(environment(tmp_path / "env"))
    assert settings.inherited["AWS_PROFILE"] == "a ${HOME} b"
    (tmp_path / "env").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="--env-file"):
        environment(tmp_path / "env")
