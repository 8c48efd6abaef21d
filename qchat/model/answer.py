# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""Turns the terminal styles of the Q CLI back into the markdown that the model wrote.

Q reads the model's markdown, and prints a style where it recognises a mark, and everything else as it
is. So each style stands for exactly one mark, and what is no style is what the model wrote. What a
style stands for depends on where it is: at the start of a line (``block``) or within it (``inline``).
Where only what follows can tell, the text is held, never beyond the end of the line or of the
construct, nor beyond a limit.
"""

from attrs import define, frozen

from qchat.model import escapes
from qchat.model.block import Code, Start
from qchat.model.inline import Line
from qchat.model.state import HOLD_LIMIT, OUTSIDE, Outside, State
from qchat.model.writer import Writer

REMARKS = ("Tool validation failed: ", "The context window has overflowed")
"""What the remarks of the CLI begin with, in colour."""


@define
class Answer:
    """What the model says, between the prompt marker ``> `` and the line end that closes it."""

    writer: Writer
    state: State = OUTSIDE

    @property
    def bulk(self) -> bool:
        """Whether text may come with line ends in it, and several line ends at once."""
        return self.state.bulk

    @property
    def outside(self) -> bool:
        """Whether nothing of an answer is being read."""
        return type(self.state) is Outside

    @property
    def ordinary(self) -> bool:
        """Whether text that begins with nothing special is an ordinary line."""
        return type(self.state) is Line or (type(self.state) is Start and not self.state.held)

    @property
    def coding(self) -> bool:
        """Whether fenced code is being read."""
        return isinstance(self.state, Code)

    def takes_marker(self, colour: str) -> bool:
        """Whether ``colour`` may begin something that is no part of the answer."""
        if isinstance(self.state, Line):
            return colour == escapes.MAGENTA
        return isinstance(self.state, Outside | Code | Start)

    def text(self, text: str, end: int) -> None:
        """Text, known at byte ``end``."""
        self.state = self.state.text(self.writer, text, end) or Start()

    def newline(self, count: int, end: int) -> None:
        """Line ends."""
        self.state = self.state.newline(self.writer, count, end) or Start()

    def style(self, style: str, end: int) -> None:
        """A style; or a sequence that only the tool cards need, which means nothing here."""
        self.state = self.state.style(self.writer, style, end) or Start()

    def respond(self, end: int) -> None:
        """The prompt marker: an answer begins."""
        self.part(end)
        self.state = Start()

    def part(self, end: int) -> None:
        """Something that is not the answer comes between: finish what is open."""
        self.state.part(self.writer, end)
        self.writer.part()
        self.state = OUTSIDE

    def remark(self, marker: str) -> None:
        """The beginning of a remark, which lasts until the colour ends."""
        self.writer.part()
        self.state = _Remark(marker)

    def close(self, end: int) -> None:
        """The transcript ends."""
        self.state.settle(self.writer, end)


@frozen
class _Remark(State):
    """The CLI says something about the conversation."""

    held: str

    def text(self, writer: Writer, text: str, end: int) -> State:
        held = self.held + text
        if len(held) <= HOLD_LIMIT:
            return _Remark(held)
        writer.write(held, end)
        return OUTSIDE

    def newline(self, writer: Writer, count: int, end: int) -> State:
        return self.text(writer, "\n", end)

    def style(self, writer: Writer, style: str, end: int) -> State:
        if style == escapes.RESET:
            self.settle(writer, end)
            return OUTSIDE
        return self

    def settle(self, writer: Writer, end: int) -> None:
        writer.out.notice(end, self.held)
