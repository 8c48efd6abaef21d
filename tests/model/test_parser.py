"""The law of the parsers, on the recordings and on everything else that bytes can be."""

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qchat.model.event import Event, Text
from qchat.model.parser import make_parser
from qchat.model.turn import Form, Output
from tests.model.law import by_byte, check, joined, placed

DATA = Path(__file__).parent.parent / "data"
RECORDINGS = sorted(path for path in (DATA / "recordings").glob("*.out") if path.stat().st_size)
KINDS: list[tuple[Form, Output]] = [("q", "markdown"), ("q", "text"), ("q", "raw"), ("plain", "text")]
BITS = [
    *(
        "\x1b[0m",
        "\x1b[0m\x1b[0m\n",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "  ",
        "\x1b[m",
        "\x1b[K",
        "\x1b[39m",
    ),
    *("\x1b[1m", "\x1b[22m", "\x1b[3m", "\x1b[23m", "\x1b[9m", "\x1b[29m"),
    *("\x1b[38;5;10m", "\x1b[38;5;13m", "\x1b[38;5;8m", "\x1b[38;5;12m", "\x1b[38;5;10m> \x1b[0m", "> "),
    "\x1b[38;5;13m🛠️  Using tool: ",
    "\x1b[38;5;13m🛠️  Using tool: execute_bash\x1b[38;5;2m (trusted)\x1b[39m\x1b[0m\n ⋮ \n ● ",
    "I will run the following shell command: \x1b[38;5;10mls\n\x1b[0m\n",
    "Path: \x1b[38;5;10mx\x1b[0m\n\n+ 1: a\n\x1b[K\n",
    "Running aws cli command:\n\nRegion: x",
    "Running \x1b[38;5;10mfoo\x1b[0m with the param:\n ⋮  {}\n\x1b[0m",
    " ⋮ \n ↳ \x1b[38;5;12mPurpose: \x1b[0mwhy\n",
    "Reading file: \x1b[38;5;10m/a\x1b[0m, all lines",
    "Batch fs_read operation with \x1b[38;5;10m2\x1b[0m operations:\n\n↱ Operation 1: a\n↱ Operation 2: b",
    *(" ⋮ \n", " ⋮ ", "\x1b[38;5;10m\x1b[1m", " ● Completed in 0.57s", " ● Execution failed after 8.6s:\n"),
    *("• ", "│ ", "━━━", "12. ", "a", "foo_bar", "_", "*", "**", "`", "```", "~~~", "#", "## ", "中文", "🛠"),
    *("\x1b", "\x1b[", "\x1b[31", "\x1b]0;t", "\x07", "\x1b\\", "\x1b(B", "\0", "Tool validation failed: "),
    *("x" * 70, "plain words and more words"),
]
BROKEN = [b"\xe2\x80", b"\xf0\x9f", b"\xff", b"\xc2", b"\xed\xa0\x80"]
PIECES = st.sampled_from([bit.encode() for bit in BITS] + BROKEN) | st.binary(max_size=6)
TRANSCRIPTS = st.lists(PIECES, max_size=40).map(b"".join)


@pytest.mark.parametrize(("form", "output"), KINDS)
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_split_gives_the_same_events(path: Path, form: Form, output: Output) -> None:
    """Cut in two at any byte, a recording gives the same events as byte by byte."""
    data = path.read_bytes()
    canonical = by_byte(make_parser(form, output), data)
    after: list[Event] = []
    for cut in range(len(data), -1, -1):
        while canonical and canonical[-1].end > cut:
            after[:1] = joined([canonical.pop(), *after[:1]])
        parser = make_parser(form, output)
        parser.feed(data[:cut])
        assert parser.feed(data[cut:]) == after, cut


@pytest.mark.parametrize(
    "path", [*RECORDINGS, *sorted((DATA / "markdown").glob("00*.out"))], ids=lambda p: p.stem
)
def test_any_cuts_give_the_same_events(path: Path) -> None:
    """Cut into pieces of any size, a recording gives the same events as byte by byte."""
    data = path.read_bytes()
    for form, output in KINDS:
        for size in (3, 10, 64):
            check(form, output, data, list(range(0, len(data), size)))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(TRANSCRIPTS, st.sampled_from(KINDS), st.lists(st.integers(0, 400), max_size=12))
def test_any_bytes_obey_the_law(data: bytes, kind: tuple[Form, Output], cuts: list[int]) -> None:
    """Whatever the bytes are and wherever they are cut, the events are those of byte by byte."""
    check(*kind, data, cuts)
    check(*kind, data, [])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(TRANSCRIPTS, st.sampled_from(KINDS))
def test_a_reader_resumes_at_any_place(data: bytes, kind: tuple[Form, Output]) -> None:
    """From any byte on, whether an event ended there or not, a new parser gives exactly the rest."""
    parser = make_parser(*kind)
    canonical = placed(by_byte(parser, data) + parser.close())
    for offset in range(0, len(data) + 1, 1 + len(data) // 20):
        parser = make_parser(*kind)
        seen = parser.feed(data[:offset])
        rest = parser.feed(data[offset:]) + parser.close()
        places = [(end, nth) for end, nth, _ in placed(seen + rest)]
        for nth in range(3):
            due = [event for place, event in zip(places, seen + rest, strict=True) if place > (offset, nth)]
            expected = [event for end, at, event in canonical if (end, at) > (offset, nth)]
            assert joined(due) == joined(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_goes_its_own_way(kind: tuple[Form, Output]) -> None:
    """A forked or a pickled parser is in the same state, and its events do not change the other's."""
    data = (DATA / "recordings" / "two_tools_interleaved.out").read_bytes()
    rest: list[Event] = []
    for cut in range(len(data), -1, -31):
        parser = make_parser(*kind)
        parser.feed(data[:cut])
        fork, copy = parser.fork(), pickle.loads(pickle.dumps(parser))
        rest = parser.feed(data[cut:]) + parser.close()
        assert fork.consumed == copy.consumed == cut
        assert fork.feed(data[cut:]) + fork.close() == rest
        assert copy.feed(data[cut:]) + copy.close() == rest


@pytest.mark.parametrize(("form", "output"), KINDS)
@pytest.mark.parametrize(
    "unit",
    [
        b"x",
        b" ",
        b"\n",
        b"\x1b]0;",
        b"\x1b[",
        "你".encode(),
        b"\xff",
        b"\x1b[1m",
        b"\x1b[3m_",
        b"1",
        " ⋮ ".encode(),
        b"\r",
    ],
)
def test_endless_input_needs_little_memory(form: Form, output: Output, unit: bytes) -> None:
    """However long a line, a number, an escape sequence or a hold is, the parser keeps little of it."""
    parser = make_parser(form, output)
    parser.feed(b"\x1b[38;5;10m> \x1b[0m")
    for _ in range(5):
        parser.feed(unit * 10_000)
    assert len(pickle.dumps(parser)) < 40_000


def test_raw_is_every_byte() -> None:
    """Raw output is the bytes as UTF-8 with replacement, escapes and tools included, and no more."""
    data = (DATA / "recordings" / "tool_bash_escapes.out").read_bytes() + b"\xff\n\n\xe2\x82"
    parser = make_parser("q", "raw")
    events = parser.feed(data) + parser.close()
    assert all(isinstance(event, Text) for event in events)
    assert "".join(event.text for event in events if isinstance(event, Text)) == data.decode(errors="replace")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\n", "plain"),
        (b"\n  indented\n\n\n  more  \n\n", "\n  indented\n\n\n  more  "),
        (b"\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b(Bx\x1b7y", "red link xy"),
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b"10%\r20%\rdone\r\n", "10%\r20%\rdone"),
        (b"caf\xe9 \xe4\xbd\xa0", "caf\ufffd 你"),
        (b"> quoted\n> \n", "> quoted\n> "),
        (b"a\x1b[31", "a"),
        (b"a\x1b]0;never ends", "a]0;never ends"),
        (b"a\x1b]0;not a title\nb", "a]0;not a title\nb"),
        (b"a\x1b[3\xc3\xa9b", "a[3éb"),
        (b"\x1b\x1b[1mbold", "bold"),
        (b"", ""),
    ],
)
def test_any_programs_text_loses_its_escapes_only(data: bytes, text: str) -> None:
    """Of a plain program's text only escape sequences and the line ends at its end are taken away."""
    parser = make_parser("plain", "markdown")
    events = parser.feed(data) + parser.close()
    assert "".join(event.text for event in events if isinstance(event, Text)) == text
