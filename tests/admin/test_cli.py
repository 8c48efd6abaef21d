"""The tool as a program: its exit codes, JSON, pipes and terminals."""

import errno
import json
import os
import pty
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.admin.base import Base, admin
from tests.harness import ROOT, environment

FIRST_RUN = ("usage: qchat-admin", "error: ")


def on_terminal(base: Path, *args: str) -> tuple[int, str]:
    """Run the tool on a terminal of its own: its exit code, and all that the terminal got."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "qchat.admin", *args],
            env=environment(base, TERM="xterm-256color", COLUMNS="200"),
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    said = bytearray()
    deadline = time.monotonic() + 60
    try:
        while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                said += os.read(ours, 65536)
            except OSError as error:
                assert error.errno == errno.EIO  # noqa: PT017  # how a terminal says that nobody is there
                break
        return process.wait(timeout=10), said.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nonsense",),
        ("detail",),
        ("detail", ".."),
        ("detail", "01234567-89AB-4cde-8f01-23456789abcd"),
        ("cleanup-old", "--hours", "-1"),
        ("cleanup-old", "--hours", "nan"),
        ("cleanup-old", "--hours", "soon"),
        ("export",),
        ("local-model", "remove"),
        ("list", "--dry-run"),
    ],
)
def test_bad_command_lines(base: Base, args: tuple[str, ...]) -> None:
    """A command line that is wrong is explained on stderr, and the exit code is 2."""
    told = admin(base.path, *args)
    assert (told.code, told.out) == (2, "")
    assert all(words in told.err for words in FIRST_RUN)


def test_bad_settings(base: Base) -> None:
    """A setting that is not allowed is named with its value, and the exit code is 2."""
    told = admin(base.path, "list", PORT="many")
    assert told.code == 2
    assert "PORT='many'" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "args",
    [("list",), ("detail", str(uuid4())), ("cleanup-empty",), ("check",), ("backup", "x"), ("export", "x")],
)
def test_failures(tmp_path: Path, args: tuple[str, ...]) -> None:
    """What cannot be done is said in one line, in JSON too when that is asked for, with exit code 1."""
    told = admin(tmp_path / "missing", *args, "--json")
    assert told.code == 1
    assert told.err.startswith("qchat-admin: ")
    assert told.err.count("\n") == 1
    assert told.json == {"error": told.err.removeprefix("qchat-admin: ").strip()}
    assert not (tmp_path / "missing").exists()


def test_a_session_that_is_not_there(base: Base) -> None:
    """The detail of an unknown session is a failure that names it."""
    name = str(uuid4())
    told = admin(base.path, "detail", name)
    assert told.code == 1
    assert name in told.err


def test_lists_plain_lines_in_a_pipe(base: Base) -> None:
    """In a pipe there is a line for each directory, with tabs between its columns and nothing else."""
    name = base.session(files={"a": "12345"})
    bare = base.session("bare", hours=1)
    told = admin(base.path, "list")
    assert (told.code, told.err) == (0, "")
    first, second = (line.split("\t") for line in told.out.splitlines())
    assert first[:4] == [name, "live", "1", "5"]
    assert second[:2] == [bare, "bare"]


def test_lists_a_table_with_progress_on_a_terminal(base: Base) -> None:
    """On a terminal there is a table with titles and a total, and a bar while it is being made."""
    name = base.session(files={"a": "x" * 2048})
    code, said = on_terminal(base.path, "list")
    assert code == 0
    assert "SESSION" in said
    assert name in said
    assert "2.0 KiB" in said
    assert "1 directory" in said
    assert "looking through directories" in said
    assert "\x1b[" in said


def test_json_everywhere(base: Base, tmp_path: Path) -> None:
    """Every command prints one JSON document when asked to, before or after its name."""
    name = base.session(files={"a": "1"}, answers=(b"x",))
    assert admin(base.path, "--json", "list").json[0]["session_id"] == name
    assert admin(base.path, "detail", name, "--json").json["turns"][0]["sha256"]
    assert admin(base.path, "cleanup-empty", "--json").json["count"] == 0
    assert admin(base.path, "cleanup-old", "--json", "--dry-run").json["dry_run"] is True
    assert admin(base.path, "export", str(tmp_path / "e"), "--json").json["session_count"] == 1
    assert admin(base.path, "check", "--json").json == {"ok": True, "findings": []}
    assert admin(base.path, "backup", str(tmp_path / "b"), "--json").json["turns"] == 1
    restored = admin(tmp_path / "new", "restore", str(tmp_path / "b"), "--json").json
    assert restored == {"sessions": 1, "turns": 1, "aside": None}
    assert {check["subject"] for check in admin(base.path, "doctor", "--json").json["checks"]} > {"disk"}


def test_detail_shows_files_and_turns(base: Base) -> None:
    """The detail has the files and, for each turn, its state, times, bytes and prompt."""
    name = base.session(files={"src/a.py": "12345"}, answers=(b"one", b"two"))
    told = admin(base.path, "detail", name)
    assert told.code == 0
    for words in (name, "live", "src/a.py", "prompt 1", "prompt 2", "completed"):
        assert words in told.out
    found = admin(base.path, "detail", name, "--json").json
    assert [file["path"] for file in found["files"]] == ["src/a.py"]
    assert [(turn["turn"], turn["bytes"]) for turn in found["turns"]] == [(1, 3), (2, 3)]


def test_hostile_names_do_no_harm(base: Base) -> None:
    """Names, titles and prompts that hold terminal commands are shown, and not sent to the terminal."""
    name = base.session(files={"\x1b[31mred\x07": "", "\u202etxt.exe": ""}, answers=(b"x",))
    base.execute("UPDATE turns SET prompt = ?", "\x1b]0;title\x07prompt")
    base.execute("UPDATE sessions SET title = ?", "\x1b[2Jtitle")
    for code, said in (on_terminal(base.path, "detail", name), on_terminal(base.path, "list")):
        assert code == 0
        assert "\x07" not in said
        assert "\u202e" not in said
        assert "\x1b[31mred" not in said
        assert "\x1b[2J" not in said


def test_dry_run_removes_nothing(base: Base) -> None:
    """With --dry-run the directories that would go are named and stay."""
    name = base.session("bare", hours=25)
    for command in ("cleanup-empty", "cleanup-old"):
        told = admin(base.path, command, "--dry-run")
        assert told.code == 0
        assert f"would remove {name}" in told.out
        assert base.directories() == {name}
    assert f"removed {name}" in admin(base.path, "cleanup-old").out
    assert base.directories() == set()


def test_cleaning_is_logged(base: Base, tmp_path: Path) -> None:
    """Without a server the tool writes what it removes to the log file, where operators look for it."""
    empty, old = base.session("bare"), base.session("bare", hours=30, files={"f": ""})
    os.utime(base.path / old, (1, 1))
    log = tmp_path / "app.log"
    admin(base.path, "cleanup-empty", QCHAT_LOG_FILE=str(log))
    admin(base.path, "cleanup-old", QCHAT_LOG_FILE=str(log))
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["event"], first["session_id"]) == ("清理空目录", empty)
    assert (second["event"], second["session_id"]) == ("清理过期目录", old)


def test_exports(base: Base, tmp_path: Path) -> None:
    """The export is one JSON document with all directories and their files; - prints it."""
    names = {base.session(files={"a": "1"}), base.session("bare"), base.session("expired")}
    target = tmp_path / "export.json"
    target.write_text("old")
    assert admin(base.path, "export", str(target)).code == 0
    exported = json.loads(target.read_text())
    assert {one["session_id"] for one in exported["sessions"]} == names
    assert exported["session_count"] == 3
    assert sorted(len(one["files"]) for one in exported["sessions"]) == [0, 0, 1]
    assert admin(base.path, "export", "-").json["sessions"] == exported["sessions"]
    assert {path.name for path in tmp_path.iterdir()} == {"sessions", "export.json"}


def test_an_export_that_fails_costs_nothing(base: Base, tmp_path: Path) -> None:
    """An export to a place that cannot be written is a failure, and leaves what was there."""
    (tmp_path / "place").mkdir()
    assert admin(base.path, "export", str(tmp_path / "place")).code == 1
    assert admin(base.path, "export", str(tmp_path / "nowhere/file")).code == 1
    base.state.database.write_bytes(b"damaged" * 1000)
    target = tmp_path / "export.json"
    target.write_text("old")
    assert admin(base.path, "export", str(target)).code == 1
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"sessions", "place", "export.json"}


def test_a_reader_that_leaves_is_no_error(base: Base) -> None:
    """When head(1) has seen enough the tool ends without a word."""
    for _ in range(300):
        base.session("bare")
    program = f"{shlex.quote(sys.executable)} -m qchat.admin list | head -1"
    done = subprocess.run(
        ["sh", "-c", program],
        env=environment(base.path),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1


def test_check_says_what_it_found_and_did(base: Base) -> None:
    """Faults are told with what helps and give exit code 1; repaired ones are told and give 0."""
    name = base.session(answers=(b"x",))
    (base.path / name).rmdir()
    told = admin(base.path, "check")
    assert told.code == 1
    assert name in told.out
    assert "check --repair" in told.out
    told = admin(base.path, "check", "--repair")
    assert told.code == 0
    assert "repaired: made an empty one" in told.out
    assert "everything fits" in admin(base.path, "check").out


def test_backup_and_restore(base: Base, tmp_path: Path) -> None:
    """A backup goes to a file and comes back from it; a restore over sessions needs a word more."""
    name = base.session(files={"a": "1"}, answers=(b"x",))
    archive = tmp_path / "b.tar.gz"
    assert "1 session, 1 turn and 1 file" in admin(base.path, "backup", str(archive)).out
    told = admin(base.path, "restore", str(archive))
    assert told.code == 1
    assert "--move-aside" in told.err
    told = admin(base.path, "restore", str(archive), "--move-aside")
    assert told.code == 0
    assert "before-restore-" in told.out
    assert base.directories() == {name}
    archive.write_bytes(b"something else")
    told = admin(tmp_path / "new", "restore", str(archive))
    assert told.code == 1
    assert "no backup" in told.err
