"""What a client sees of a turn: events, and the positions that name them.

A parser turns the bytes of a transcript into events. It obeys one law: what it has emitted after
consuming a prefix of the transcript depends on that prefix only, never on how the prefix was cut
into pieces. So a position in the transcript names a position in the events, for ever.
"""

import re
from typing import Literal, Self

from attrs import field, frozen

POSITION = "([1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})(?:-([1-9][0-9]{0,17}))?"
ToolState = Literal["started", "output", "completed", "failed"]


@frozen
class Text:
    """A piece of the answer; the pieces of a turn, joined, are the answer.

    Two neighbouring pieces mean the same as one that joins them, so a parser may merge them.
    """

    end: int
    """Bytes of the transcript that had been consumed when this became certain."""
    text: str


@frozen
class Tool:
    """One step in the life of a tool card: announced, its output, its end."""

    end: int
    id: str
    """Names the card within its turn: "1", "2", ... in the order of announcement."""
    state: ToolState
    name: str = ""
    trusted: bool = False
    about: dict[str, str] = field(factory=dict)
    """What the card says of itself when it starts: path, command, purpose, diff, ..."""
    output: str = ""
    """What the tool wrote; only in state "output". The pieces of one card, joined, are its output."""
    seconds: float | None = None
    """How long it took; only at its end."""


@frozen
class Notice:
    """A remark for the reader that is not part of the answer."""

    end: int
    message: str


Event = Text | Tool | Notice


@frozen(order=True)
class Position:
    """Where a reader stands: ``<turn>-<offset>``, or ``<turn>-<offset>-<nth>``.

    ``offset`` counts the bytes of the turn's transcript that have been consumed; ``nth`` tells
    events apart that became certain at the same byte. The terminal event of a transcript of
    ``n`` bytes stands at offset ``n + 1``.
    """

    turn: int
    offset: int
    nth: int = 0

    _FORM = re.compile(POSITION)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an event id.

        :raises ValueError: when ``text`` does not have the form of an id.
        """
        match = cls._FORM.fullmatch(text)
        if match is None:
            raise ValueError(text)
        turn, offset, nth = match.groups()
        return cls(int(turn), int(offset), int(nth or 0))

    def __str__(self) -> str:
        return f"{self.turn}-{self.offset}" + (f"-{self.nth}" if self.nth else "")
