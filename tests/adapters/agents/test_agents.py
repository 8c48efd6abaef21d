"""Which agent is taken, how it is started, and what its private HOME begins with."""

import json
import sqlite3
from pathlib import Path

import pytest

from qchat.adapters.agents import find_agent, missing
from qchat.adapters.agents.amazon import seed
from qchat.settings import Settings, SettingsError


def program(directory: Path, name: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("programs", "asked", "found"),
    [
        ([], "auto", "local"),
        (["q"], "auto", "q"),
        (["kiro-cli"], "auto", "kiro"),
        (["q", "kiro-cli"], "auto", "q"),
        (["qchat"], "auto", "local"),  # a program of Q's own, and no agent
        ([], "q", None),
        ([], "kiro", None),
        (["q"], "local", "local"),
    ],
)
def test_choice(tmp_path: Path, programs: list[str], asked: str, found: str | None) -> None:
    """auto takes q, then kiro-cli, then the built-in agent; a name takes that one or none."""
    (tmp_path / "bin").mkdir()
    for name in programs:
        program(tmp_path / "bin", name)
    agent = find_agent(Settings.from_env({"PATH": str(tmp_path / "bin"), "QCHAT_AGENT": asked}))
    assert (agent.name if agent else None) == found


def test_arguments(tmp_path: Path) -> None:
    """The prompt is never an argument, and --resume is there only when it is asked for."""
    path = program(tmp_path / "bin", "q")
    agent = find_agent(Settings.from_env({"PATH": str(tmp_path / "bin")}))
    assert agent is not None
    first = [str(path), "chat", "--no-interactive", "--trust-all-tools", "--wrap", "never"]
    assert agent.argv(resume=False) == first
    assert agent.argv(resume=True) == [*first, "--resume"]


def test_command(tmp_path: Path) -> None:
    """QCHAT_AGENT=command runs any program, whose output is read as plain text."""
    path = program(tmp_path / "bin", "answer")
    env = {
        "PATH": str(tmp_path / "bin"),
        "QCHAT_AGENT": "command",
        "QCHAT_AGENT_COMMAND": "answer --to 'my life'",
    }
    agent = find_agent(Settings.from_env(env))
    assert agent is not None
    assert (agent.argv(resume=True), agent.form) == ([str(path), "--to", "my life"], "plain")


def test_a_command_sees_what_it_names(tmp_path: Path) -> None:
    """Any program sees its own file and the paths among its arguments, not the directory that it is in."""
    path = program(tmp_path / "bin", "answer")
    (tmp_path / "data").mkdir()
    env = {
        "PATH": str(tmp_path / "bin"),
        "QCHAT_AGENT": "command",
        "QCHAT_AGENT_COMMAND": f"answer {tmp_path}/data /not/there data",
    }
    agent = find_agent(Settings.from_env(env))
    assert agent is not None
    assert set(agent.visible) == {path, tmp_path / "data"}


def test_programs_are_known_by_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn runs in another directory, so a relative PATH or command is made absolute."""
    monkeypatch.chdir(tmp_path)
    for name in ("q", "answer"):
        path = program(tmp_path / "bin", name)
        env = {"PATH": "bin", "QCHAT_AGENT_COMMAND": "./bin/answer"}
        found = find_agent(Settings.from_env(env | {"QCHAT_AGENT": "q" if name == "q" else "command"}))
        assert found is not None
        assert found.command[0] == str(path)


@pytest.mark.parametrize(
    ("asked", "command", "said"),
    [
        ("kiro", "", "kiro-cli is not on the PATH"),
        ("command", "'my agent' -x", "my agent (QCHAT_AGENT_COMMAND) is no program on the PATH"),
    ],
)
def test_what_is_missing_is_named(asked: str, command: str, said: str) -> None:
    """Who has asked for an agent that is not there is told which program was looked for."""
    env = {"PATH": "/nowhere", "QCHAT_AGENT": asked, "QCHAT_AGENT_COMMAND": command}
    settings = Settings.from_env(env)
    assert find_agent(settings) is None
    assert missing(settings) == said


@pytest.mark.parametrize("command", ["", "it's open", "'' -x"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    """A command line that is missing, open or empty is refused at start, by name."""
    with pytest.raises(SettingsError, match=r"QCHAT_AGENT_COMMAND.*it takes a program and its arguments"):
        Settings.from_env({"QCHAT_AGENT": "command", "QCHAT_AGENT_COMMAND": command})


def test_seed(tmp_path: Path) -> None:
    """A private HOME gets the operator's login and chosen settings, and no conversation."""
    own = tmp_path / "operator" / ".local" / "share" / "amazon-q"
    own.mkdir(parents=True)
    (own / "settings.json").write_text(json.dumps({"chat.defaultModel": "m", "chat.editMode": "vi"}))
    database = sqlite3.connect(own / "data.sqlite3")
    with database:
        database.execute(
            "CREATE TABLE migrations (id INTEGER PRIMARY KEY, version INTEGER, migration_time INTEGER)"
        )
        database.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB)")
        database.execute("CREATE TABLE auth_kv (key TEXT PRIMARY KEY, value TEXT)")
        database.execute("CREATE TABLE conversations (key TEXT PRIMARY KEY, value TEXT)")
        database.execute("CREATE INDEX conversations_index ON conversations (value)")
        database.execute("CREATE VIEW chats AS SELECT * FROM conversations")
        database.execute("INSERT INTO migrations VALUES (1, 7, 0)")
        database.execute("INSERT INTO auth_kv VALUES ('token', 'secret')")
        database.execute("INSERT INTO state VALUES ('api.codewhisperer.profile', 'p'), ('other', 'x')")
        database.execute("INSERT INTO conversations VALUES ('/home/operator', 'private words')")
        database.execute("CREATE TRIGGER logout AFTER INSERT ON auth_kv BEGIN DELETE FROM auth_kv; END")
    database.close()
    home = tmp_path / "home"
    home.mkdir()
    seed("amazon-q", home, {"HOME": str(tmp_path / "operator")})
    made = home / ".local" / "share" / "amazon-q"
    copy = sqlite3.connect(made / "data.sqlite3")
    assert copy.execute("SELECT * FROM auth_kv").fetchall() == [("token", "secret")]
    assert copy.execute("SELECT version FROM migrations").fetchall() == [(7,)]
    assert copy.execute("SELECT key FROM state").fetchall() == [("api.codewhisperer.profile",)]
    assert copy.execute("SELECT * FROM conversations").fetchall() == []
    copy.close()
    assert b"private words" not in (made / "data.sqlite3").read_bytes()
    settings = json.loads((made / "settings.json").read_text())
    assert (settings["chat.defaultModel"], settings["chat.greeting.enabled"]) == ("m", False)
    assert "chat.editMode" not in settings


def test_seed_without_a_login(tmp_path: Path) -> None:
    """An operator who is not logged in seeds settings alone."""
    home = tmp_path / "home"
    home.mkdir()
    seed("amazon-q", home, {"HOME": str(tmp_path / "nobody")})
    assert [path.name for path in (home / ".local/share/amazon-q").iterdir()] == ["settings.json"]
