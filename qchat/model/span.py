# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""Inline code and links: what Q prints in one go, between a colour and a reset."""

from attrs import frozen

from qchat.model import escapes
from qchat.model.state import HOLD_LIMIT, State
from qchat.model.writer import Writer


class Span(State):
    """Inline code."""

    bulk = True

    def text(self, writer: Writer, text: str, end: int) -> State:
        writer.write(text, end)
        return self

    def newline(self, writer: Writer, count: int, end: int) -> State:
        writer.newlines += count
        return self

    def style(self, writer: Writer, style: str, end: int) -> State:
        if style != escapes.RESET:
            return self
        self.finish(writer, end)
        return self.line

    def finish(self, writer: Writer, end: int) -> None:
        writer.mark("`", end)


class _Address(Span):
    """The address of a link."""

    def finish(self, writer: Writer, end: int) -> None:
        writer.write(")", end)


SPAN, _ADDRESS = Span(), _Address()


def code(writer: Writer, content: str, end: int) -> None:
    """Write inline code."""
    writer.mark("`", end)
    writer.write(content, end)
    writer.mark("`", end)


@frozen
class Coloured(State):
    """A colour within a line: a link when another colour follows, else inline code (or a footnote)."""

    colour: str
    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        held = self.held + text
        if len(held) <= HOLD_LIMIT:
            return Coloured(self.colour, held)
        writer.write(held, end)
        return self.line

    def newline(self, writer: Writer, count: int, end: int) -> State:
        return self.text(writer, "\n", end)

    def style(self, writer: Writer, style: str, end: int) -> State:
        if escapes.is_colour(style):
            text = self.held.removesuffix(" ")
            writer.write(f"{text} (" if writer.plain else f"[{text}](", end)
            return _ADDRESS
        if style == escapes.RESET:
            self.settle(writer, end)
            return self.line
        return self

    def settle(self, writer: Writer, end: int) -> None:
        if self.colour == escapes.CYAN:
            writer.write(self.held, end)
        else:
            code(writer, self.held, end)
