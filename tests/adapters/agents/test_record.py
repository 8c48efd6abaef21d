"""The exact record of a turn, read by a program of its own from the database that the agent left."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qchat.model.record import Record
from tests.harness import FAKES

PROGRAM = Path("qchat/adapters/agents/record.py").absolute()
WRITE = 'tool fs_write {"command": "create", "path": "a.txt", "file_text": "x\\n"}'
RUN = 'tool execute_bash {"command": "echo hi"}'

TOOL = (
    b'{"prompt": "", "answer": "", "requests": [], "tools":'
    b' [{"id": "", "name": "", "status": null, "result": [], "arguments": %s}]}'
)

Ask = Callable[..., None]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Runs the stand-in for Q in a workspace, with a private HOME."""
    (tmp_path / "work").mkdir()

    def run(prompt: str, *arguments: str) -> None:
        subprocess.run(
            [str(FAKES / "q"), "chat", "--no-interactive", "--trust-all-tools", *arguments],
            input=prompt.encode(),
            cwd=tmp_path / "work",
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            check=True,
            capture_output=True,
        )

    return run


def database(home: Path) -> Path:
    return home / ".local" / "share" / "amazon-q" / "data.sqlite3"


def read(path: Path, key: Path | str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(path), str(key)]
    return subprocess.run(command, capture_output=True, check=False, timeout=30)


def record(home: Path) -> Record:
    done = read(database(home), home / "work")
    assert done.returncode == 0, done.stderr
    return Record.parse(done.stdout)


def refused(path: Path, key: Path | str) -> str:
    done = read(path, key)
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode()


def keep(path: Path, value: object) -> Path:
    """A database with one conversation, as JSON or as it is."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE conversations (key TEXT PRIMARY KEY, value TEXT)")
        text = value if isinstance(value, str) else json.dumps(value)
        connection.execute("INSERT INTO conversations VALUES ('k', ?)", (text,))
    connection.close()
    return path


def test_the_record_has_what_the_model_wrote(ask: Ask, tmp_path: Path) -> None:
    """The markdown is exact, also where Q's rendering destroys it."""
    ask("say * a &amp; b\\n\\n```\\n\tx &lt; y\\n```")
    found = record(tmp_path)
    assert found.answer == "* a &amp; b\n\n```\n\tx &lt; y\n```"
    assert found.is_of("say * a &amp; b\\n\\n```\\n\tx &lt; y\\n```")
    assert found.requests[0].model == "claude-sonnet-4"
    assert found.requests[0].first_seconds == 0.12


def test_the_record_has_every_tool(ask: Ask, tmp_path: Path) -> None:
    """Every tool has its arguments and its result, and parts of the answer are paragraphs."""
    ask(f"say First.\n{WRITE}\n{RUN}\nsay Then.\ntool use_aws {{}}\nsay Done.")
    found = record(tmp_path)
    assert found.answer == "First.\n\nThen.\n\nDone."
    assert [(tool.name, tool.status) for tool in found.tools] == [
        ("fs_write", "success"),
        ("execute_bash", "success"),
        ("use_aws", "error"),
    ]
    assert found.tools[0].arguments == {"command": "create", "path": "a.txt", "file_text": "x\n"}
    assert found.tools[1].result == [{"exit_status": "0", "stdout": "hi", "stderr": ""}]
    assert len(found.requests) == 3


def test_only_the_last_turn_is_read(ask: Ask, tmp_path: Path) -> None:
    """Of a continued conversation the record is the last turn, and it is known whose it is."""
    ask("say one")
    ask("history\nsay , two", "--resume")
    found = record(tmp_path)
    assert found.answer == "history has 2 messages, two"
    assert found.is_of(" history\nsay ,\u200b two\n")
    assert not found.is_of("say one")


def test_a_missing_record_is_said_to_be_missing(ask: Ask, tmp_path: Path) -> None:
    """Without a database, or without a conversation of the directory, there is no record."""
    assert "No such file" in refused(database(tmp_path), "k")
    ask("say x")
    assert "no conversation for /elsewhere" in refused(database(tmp_path), "/elsewhere")


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    """A link, a pipe, a directory or a huge file in the database's place is refused, and not waited for."""
    real = keep(tmp_path / "real", {"history": []})
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    for name in ("link", "pipe", "huge", "."):
        assert refused(tmp_path / name, "k").startswith("no record: ")


@pytest.mark.parametrize(
    "value",
    [
        "not JSON",
        "[1]",
        "{}",
        {"history": 3},
        {"history": [1]},
        {"history": [{}]},
        {"history": [{"user": {"content": {}}, "assistant": {}}]},
        {"history": [{"user": {"content": {"Prompt": {"prompt": 3}}}, "assistant": {"Response": {}}}]},
        "[" * 100_000,
    ],
)
def test_an_unknown_form_is_no_record(tmp_path: Path, value: object) -> None:
    """A conversation of another form, whatever it is, gives no record and no traceback."""
    said = refused(keep(tmp_path / "db", value), "k")
    assert said.startswith("no record: ")
    assert said.count("\n") == 1


def test_what_is_no_database_is_no_record(tmp_path: Path) -> None:
    """Bytes that are no database give no record."""
    (tmp_path / "db").write_bytes(os.urandom(100_000))
    assert refused(tmp_path / "db", "k").startswith("no record: ")


def test_a_hostile_schema_is_bounded(tmp_path: Path) -> None:
    """A view in the table's place, that would compute for ever, is not evaluated."""
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute(
            "CREATE VIEW conversations AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT 'k' AS key, max(i) AS value FROM n"
        )
    connection.close()
    assert "no conversation" in refused(tmp_path / "db", "k")


@pytest.mark.parametrize("moment", [10**400, -1, 1e300])
def test_times_may_be_anything(tmp_path: Path, moment: float) -> None:
    """A time that no clock shows is no traceback."""
    entry = {
        "user": {"content": {"Prompt": {"prompt": "p"}}},
        "assistant": {"Response": {"content": "a"}},
        "request_metadata": {"request_start_timestamp_ms": moment},
    }
    done = read(keep(tmp_path / "db", {"history": [entry]}), "k")
    assert b"Traceback" not in done.stderr


def test_a_long_record_keeps_its_answer(tmp_path: Path) -> None:
    """Of a record that is too long, what the tools returned is left out first."""
    entry = {
        "user": {"content": {"Prompt": {"prompt": "p"}}},
        "assistant": {"ToolUse": {"content": "said", "tool_uses": [{"id": "1", "name": "t", "args": {}}]}},
    }
    result = {"tool_use_id": "1", "content": [{"Text": "x" * 5_000_000}], "status": "Success"}
    after = {
        "user": {"content": {"ToolUseResults": {"tool_use_results": [result]}}},
        "assistant": {"Response": {"content": "done"}},
    }
    found = Record.parse(read(keep(tmp_path / "db", {"history": [entry, after]}), "k").stdout)
    assert (found.answer, found.tools[0].result) == ("said\n\ndone", "[too long to be kept]")


def test_a_write_ahead_log_is_no_obstacle(tmp_path: Path) -> None:
    """A database with a write-ahead log is read as it was checkpointed last."""
    entry = {"user": {"content": {"Prompt": {"prompt": "p"}}}, "assistant": {"Response": {"content": "a"}}}
    path = keep(tmp_path / "db", {"history": [entry]})
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    assert Record.parse(read(path, "k").stdout).answer == "a"
    connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"prompt": 1, "answer": "", "tools": [], "requests": []}',
        b'{"prompt": "", "answer": "", "tools": [{}], "requests": []}',
        b'{"prompt": "", "answer": "", "tools": [], "requests": [{"model": 1}]}',
        b'{"prompt": "", "answer": "", "tools": [], "requests": NaN}',
        b"[" * 100_000,
        b" " * 7_000_000,
        TOOL % (b"[" * 600 + b"]" * 600),
        TOOL % b'[1, {"a": 1e999}]',
    ],
)
def test_the_programs_word_is_checked(data: bytes) -> None:
    """What is no record is refused, whoever wrote it."""
    with pytest.raises(ValueError, match=r".+"):
        Record.parse(data)


def test_halves_of_characters_are_replaced() -> None:
    """Wherever a record has half a surrogate pair, it can be written as UTF-8 all the same."""
    found = Record.parse(TOOL % b'{"a\\ud800": ["\\udfff", 1, 2.5, true, null]}')
    assert found.tools[0].arguments == {"a\ufffd": ["\ufffd", 1, 2.5, True, None]}
    assert Record.of(json.loads(found.to_json().encode())) == found
