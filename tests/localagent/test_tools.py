"""The tools of the built-in agent, run as real processes; their output byte for byte as Q's."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness import alive
from tests.localagent.conftest import Ask, Start

RESET = "\x1b[0m"
GREEN = "\x1b[38;5;10m"
END = f"{RESET}{RESET}\n"
BEFORE = f"{END}{END}\n\x1b[38;5;13m🛠️  Using tool: "
TRUSTED = f"\x1b[38;5;2m (trusted)\x1b[39m{RESET}\n ⋮ \n ● "
AFTER = f" ⋮ \n{GREEN}\x1b[1m ● Completed in SECONDS{RESET}\n\n"


def shown(done: subprocess.CompletedProcess[bytes]) -> str:
    """What was written, its times replaced."""
    return re.sub(r"Completed in [0-9.]+s", "Completed in SECONDS", done.stdout.decode())


def wait_for(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Read until there is a line that is ``line``."""
    assert process.stdout is not None
    assert line + b"\n" in iter(process.stdout.readline, b"")


def said(text: str) -> str:
    return f"{GREEN}> {RESET}{text}{END}\n"


def test_run(ask: Ask, workspace: Path) -> None:
    """A command runs in the working directory, and is shown as Q shows execute_bash."""
    done = ask("/run echo made > file; echo out; echo err >&2")
    assert shown(done) == (
        f"{BEFORE}execute_bash{TRUSTED}I will run the following shell command: \n"
        f"{GREEN}echo made > file; echo out; echo err >&2\n{RESET}\nout\nerr\n"
        f"{AFTER}{said('The command exited with 0.')}"
    )
    assert (workspace / "file").read_text() == "made\n"
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("exit 3", "The command exited with 3."),
        ("kill -TERM $$", "The command ended by signal 15."),
        ("no-such-program", "The command exited with 127."),
    ],
)
def test_run_status(ask: Ask, command: str, end: str) -> None:
    """The answer says how a command ended, and that it failed is no failure of the agent."""
    done = ask(f"/run {command}")
    assert shown(done).endswith(said(end))
    assert done.returncode == 0


def test_run_several_lines(ask: Ask) -> None:
    """A command may have several lines, and indentation is kept."""
    done = ask("/run cat <<X\n  indented\n\n\tX \nX")
    assert b"\n  indented\n\n\tX \n \xe2\x8b\xae \n" in done.stdout


def test_run_output_is_raw(ask: Ask) -> None:
    """What a command writes is passed on byte for byte."""
    done = ask(r"/run printf '\xff\x00\r\x1b[31m ⋮ \n'")
    assert b"\n\xff\x00\r\x1b[31m \xe2\x8b\xae \n \xe2\x8b\xae \n" in done.stdout


def test_run_long_output(ask: Ask) -> None:
    """All of a long output is there, in order."""
    done = ask("/run seq 200000")
    start = done.stdout.index(b"\n1\n") + 1
    assert done.stdout[start:].startswith(b"".join(b"%d\n" % n for n in range(1, 200_001)))


def test_run_output_comes_at_once(start: Start) -> None:
    """Output is passed on while the command still runs."""
    with start("/run echo ready; read -r < gate") as process:
        wait_for(process, b"ready")
        process.kill()


def test_run_does_not_wait_for_background(ask: Ask, workspace: Path) -> None:
    """A command's end is its own, not that of what it left running with its output."""
    done = ask("/run sleep 300 & echo $! > pid; echo started")
    os.kill(int((workspace / "pid").read_text()), signal.SIGKILL)
    assert b"started\n" in done.stdout


def test_run_interrupted(start: Start, workspace: Path) -> None:
    """SIGINT ends the command and the agent, with exit code 1 like Q's."""
    with start("/run echo $$ > pid; echo ready; while :; do sleep 0.01; done") as process:
        wait_for(process, b"ready")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert b"Interrupted" in process.stderr.read()
    pid = int((workspace / "pid").read_text())
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:  # whose parent has to collect it
        time.sleep(0.01)
    assert not alive(pid)


def test_write(ask: Ask, workspace: Path) -> None:
    """A file is written as it was given, its directories made, and shown as Q shows fs_write."""
    done = ask("/write src/hello.py def main():\n    print('é')\n\nmain()")
    assert shown(done) == (
        f"{BEFORE}fs_write{TRUSTED}Path: {GREEN}src/hello.py{RESET}\n\n"
        f"\x1b[49m{GREEN}+    1{RESET}:{GREEN}\x1b[49m def main():\n{RESET}"
        f"\x1b[49m{GREEN}+    2{RESET}:{GREEN}\x1b[49m     print('é')\n{RESET}"
        f"\x1b[49m{GREEN}+    3{RESET}:{GREEN}\x1b[49m \n{RESET}"
        f"\x1b[49m{GREEN}+    4{RESET}:{GREEN}\x1b[49m main()\n{RESET}"
        f"\x1b[K\nCreating: {GREEN}src/hello.py{RESET}\n{AFTER}{said('Wrote 35 bytes to src/hello.py.')}"
    )
    assert (workspace / "src" / "hello.py").read_text() == "def main():\n    print('é')\n\nmain()"


@pytest.mark.parametrize("quote", ['"', "'"])
def test_write_name_with_spaces(ask: Ask, workspace: Path, quote: str) -> None:
    """A name in quotes may have spaces; a file that is there is replaced."""
    (workspace / "a b.txt").write_text("old")
    done = ask(f"/write {quote}a b.txt{quote} new")
    assert (workspace / "a b.txt").read_text() == "new"
    assert b"Replacing: " in done.stdout


def test_write_empty(ask: Ask, workspace: Path) -> None:
    """Without a text the file is empty."""
    ask("/write empty")
    assert (workspace / "empty").read_bytes() == b""


def test_read(ask: Ask, workspace: Path) -> None:
    """A file is shown as Q shows fs_read, and the answer has what is in it."""
    (workspace / "notes.md").write_text("# T\n\n    x\n")
    done = ask("/read notes.md")
    answer = said(f"```{END}# T{END}{END}\x1b[39m    x{END}```")
    assert shown(done) == (
        f"{BEFORE}fs_read{TRUSTED}Reading file: {GREEN}notes.md{RESET}, all lines\n"
        f"{GREEN} ✓ {RESET}Successfully read 11 bytes from notes.md\n{AFTER}"
        f"{answer}"
    )


def test_read_fences(ask: Ask, workspace: Path) -> None:
    """A file that has code fences is shown in a longer one."""
    (workspace / "a.md").write_text("````x\n````")
    assert f"> {RESET}`````{END}````x{END}````{END}`````{END}\n" in ask("/read a.md").stdout.decode()


def test_read_long(ask: Ask, workspace: Path) -> None:
    """The answer shows the beginning of a long file, and says so."""
    (workspace / "long").write_text("x" * 100_000)
    done = ask("/read long")
    assert b"These are the first 65536 bytes of 100000." in done.stdout
    assert b"x" * 65536 + END.encode() in done.stdout


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("/read missing", "missing cannot be read: No such file or directory"),
        ("/read directory", "directory cannot be read: Is a directory"),
        ("/read pipe", "pipe is not a file"),
        ("/write directory text", "directory cannot be written: Is a directory"),
        ("/read a b", "Usage: /read FILE, with quotes around a name that has spaces"),
        ("/run", "Usage: /run COMMAND"),
        ("/write", "Usage: /write FILE TEXT"),
    ],
)
def test_refused(ask: Ask, workspace: Path, prompt: str, why: str) -> None:
    """What a tool cannot do it says, without a card, and exits 0 as Q does."""
    (workspace / "directory").mkdir()
    os.mkfifo(workspace / "pipe")
    done = ask(prompt)
    assert done.stdout.decode() == said(why)
    assert done.stderr.decode() == f"Tool validation failed: {why}\n"
    assert done.returncode == 0


@pytest.mark.parametrize("prompt", ["/run touch x", "/write x text"])
def test_not_trusted(ask: Ask, workspace: Path, prompt: str) -> None:
    """A tool that changes things does nothing unless tools are trusted: exit code 1, like Q's."""
    done = ask(prompt, trusted=False)
    assert done.returncode == 1
    assert b"Tool approval required but --no-interactive was specified" in done.stderr
    assert b"Using tool" in done.stdout
    assert not (workspace / "x").exists()
