# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""What the Q CLI is in the middle of, while it prints an answer: the interface of the states.

Each state takes a piece of what Q wrote and returns the state that follows; None is the start of the
next line. Text may be cut anywhere between two calls without changing what is written.
"""

from typing import ClassVar

from qchat.model.writer import Writer

HOLD_LIMIT = 1024
"""Characters that wait for their meaning at most; beyond, the likeliest meaning is taken."""


class State:
    """One of the places in an answer at which the same styles mean the same."""

    line: ClassVar["State"]
    """The state within an ordinary line."""
    bulk: ClassVar[bool] = False
    """Whether text may come with line ends in it, and several line ends at once."""

    def text(self, writer: Writer, text: str, end: int) -> "State | None":
        raise NotImplementedError

    def newline(self, writer: Writer, count: int, end: int) -> "State | None":
        raise NotImplementedError

    def style(self, writer: Writer, style: str, end: int) -> "State | None":
        raise NotImplementedError

    def settle(self, writer: Writer, end: int) -> None:
        """Write what is held, because nothing follows."""

    def part(self, writer: Writer, end: int) -> None:
        """Finish what is open, because something that is not the answer follows."""
        self.settle(writer, end)


class Outside(State):
    """Not Q's rendering of anything: text goes through as it is, without styles."""

    bulk = True

    def text(self, writer: Writer, text: str, end: int) -> State:
        writer.write(text, end)
        return self

    def newline(self, writer: Writer, count: int, end: int) -> State:
        writer.newlines += count
        return self

    def style(self, writer: Writer, style: str, end: int) -> State:
        return self


OUTSIDE = Outside()


class Hold(State):
    """Waits within a line: whatever is no text tells that nothing more belongs to it."""

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        self.settle(writer, end)
        return self.line.newline(writer, count, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        self.settle(writer, end)
        return self.line.style(writer, style, end)
