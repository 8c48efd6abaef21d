"""Checkpoints in files: what is read is what was written, by the same parser, or nothing."""

import pickle
from pathlib import Path

import pytest

from qchat.adapters import checkpoints
from qchat.model.numbered import Numbered


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    parser = Numbered.create("q", "markdown")
    parser.feed(b"\x1b[38;5;10m> \x1b[0mHello, \x1b[1mwor")
    checkpoints.save(tmp_path / "1.out", [parser])
    return tmp_path / "1.out"


def test_same(transcript: Path) -> None:
    """A parser that was saved goes on where it was."""
    (parser,) = checkpoints.load(transcript) or []
    ((_, _, event),) = parser.feed(b"ld\x1b[22m!") + parser.close()
    assert getattr(event, "text", "") == "ld**!"


def test_other_version(transcript: Path) -> None:
    """What another version of the parser wrote counts for nothing."""
    path = transcript.with_suffix(".checkpoints")
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert checkpoints.load(transcript) is None


@pytest.mark.parametrize("length", [0, 10, 32, 60])
def test_cut(transcript: Path, length: int) -> None:
    """A file that is missing a part counts for nothing."""
    path = transcript.with_suffix(".checkpoints")
    path.write_bytes(path.read_bytes()[:length])
    assert checkpoints.load(transcript) is None


def test_nothing_else(transcript: Path) -> None:
    """What is no state of a parser is not even made."""
    path = transcript.with_suffix(".checkpoints")
    path.write_bytes(path.read_bytes()[: checkpoints.DIGEST_BYTES] + pickle.dumps(print))
    assert checkpoints.load(transcript) is None


def test_nowhere(tmp_path: Path) -> None:
    """Where nothing can be written, nothing is kept, and nothing fails."""
    checkpoints.save(tmp_path / "none" / "1.out", [Numbered.create("q", "markdown")])
    assert checkpoints.load(tmp_path / "none" / "1.out") is None
