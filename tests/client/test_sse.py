"""The client's parser of server-sent events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat.client.sse import Block, Parser

STREAM = (
    "\ufeffid: 1-0\n\n"
    ": a comment\n"
    'id: 1-5\r\ndata: {"a":\r\ndata:  "ü中"}\r\n\r\n'
    "event: ping\rdata\r\r"
    "\n\n"
    "retry: 1500\nretry: soon\nid: no\0\nunknown: x\nid\ndata:\ndata:\n\n"
    "data: cut off"
).encode()
BLOCKS = [
    Block(id="1-0"),
    Block(id="1-5", data='{"a":\n "ü中"}'),
    Block(event="ping", data=""),
    Block(id="", retry=1.5, data="\n"),
]


def parse(pieces: list[bytes]) -> list[Block]:
    parser = Parser()
    return [block for piece in pieces for block in parser.feed(piece)]


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1))
def test_every_size_of_pieces(size: int) -> None:
    """Pieces of every size give the same blocks, with line ends of all three kinds."""
    assert parse([STREAM[at : at + size] for at in range(0, len(STREAM), size)]) == BLOCKS


def test_every_cut() -> None:
    """Every place to cut the stream in two gives the same blocks, and an empty piece changes nothing."""
    for at in range(len(STREAM) + 1):
        assert parse([STREAM[:at], b"", STREAM[at:]]) == BLOCKS


@given(st.lists(st.sampled_from([b"\r", b"\n", b"data:", b"id:", b":", b" ", b"x", b"\xe4", b"\xb8\xad"])))
def test_any_pieces(pieces: list[bytes]) -> None:
    """What is no stream at all parses as a whole as it does in pieces."""
    assert parse(pieces) == parse([b"".join(pieces)])
