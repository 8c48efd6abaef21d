# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""Q's styles at the start of a line, and the marks that they stand for: lists, fences, headings, ..."""

import re

from attrs import frozen

from qchat.model import escapes
from qchat.model.emphasis import opened
from qchat.model.inline import LINE, Line
from qchat.model.span import Coloured, code
from qchat.model.state import HOLD_LIMIT, OUTSIDE, Hold, State
from qchat.model.writer import Writer

_INDENT = re.compile(r"[ \t]*")
_NUMBER = re.compile(r"[0-9]+(\.)?( )?")
_RULE = re.compile("━+")
_BARS = re.compile("(?:│ )*")
_HASHES = re.compile("#* ?")


@frozen
class Start(State):
    """The start of a line.

    Q swallows the first space of an ordinary line, but not of a list item: so an indented line waits
    for what it is.
    """

    held: str = ""
    reset: bool = False

    def text(self, writer: Writer, text: str, end: int) -> State:
        text = self.held + text
        indent = _INDENT.match(text)[0]  # type: ignore[index]
        rest = text[len(indent) :]
        if len(text) <= HOLD_LIMIT and _waits(indent, rest):
            return Start(text)
        if rest.startswith("• "):
            return LINE.text(writer, f"{indent}- {rest[2:]}", end)
        number = _NUMBER.match(rest)
        numbered = number is not None and number[2]
        return LINE.text(writer, text if numbered else _outdented(text), end)

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        if not self.reset and _RULE.fullmatch(self.held):
            return _Rule()
        writer.write(_outdented(self.held), end)
        writer.newlines += 1
        return None if self.reset else OUTSIDE

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.RESET:
            return Start(self.held, True)
        if self.held == " " and style in (escapes.BOLD, escapes.ITALIC):
            # Two spaces or more: Q swallows the first, and prints one for all the others.
            writer.write(" " * max(2, writer.column), end)
        elif self.held:
            writer.write(_outdented(self.held), end)
        elif style == escapes.BOLD:
            return _Lead()
        elif escapes.is_colour(style):
            return Coloured(style) if style == escapes.CYAN else _Colour(style)
        return LINE.style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        if self.held.strip():
            writer.write(_outdented(self.held), end)


def _waits(indent: str, rest: str) -> bool:
    if rest in ("", "•"):
        return True
    if indent:
        number = _NUMBER.fullmatch(rest)
        return number is not None and not number[2]
    return _RULE.fullmatch(rest) is not None


def _outdented(text: str) -> str:
    """Give an ordinary line the space back that Q has swallowed."""
    return " " + text if text.startswith(" ") else text


@frozen
class _Rule(Hold):
    """A rule is printed before Q looks at the rest of its line, which tells what it was made of."""

    rest: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        rest = self.rest + text
        if len(rest) <= HOLD_LIMIT:
            return _Rule(rest)
        _Rule(rest).settle(writer, end)
        return LINE

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style in (escapes.NOT_BOLD, escapes.NOT_ITALIC):
            writer.write("***" + self.rest, end)
            return LINE.style(writer, style, end)
        if not self.rest and escapes.is_colour(style):  # what follows a rule is a line's start to Q: --->
            self.settle(writer, end)
            return Start().style(writer, style, end)
        return super().style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        indent = " " * writer.column if writer.fence or (self.rest and writer.newlines == 1) else ""
        gap = "" if not self.rest or self.rest.startswith(":") else " "
        mark = next((mark for mark in ("**", "__") if mark in self.rest), "")
        writer.write(indent + (mark + mark[0] if mark else "---" + gap) + self.rest, end)


@frozen
class _Lead(State):
    """Bold at the start of a line: a bare line end makes it the language of a fenced block."""

    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        held = self.held + text
        if len(held) <= HOLD_LIMIT:
            return _Lead(held)
        return opened(writer, "**", end).text(writer, held, end)

    def newline(self, writer: Writer, count: int, end: int) -> State:
        _fence(writer, self.held, end)
        return _Fence()

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        state: State | None = opened(writer, "**", end)
        if self.held and state:
            state = state.text(writer, self.held, end)
        return state and state.style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.mark("**", end)
        writer.write(self.held, end)


def _fence(writer: Writer, language: str, end: int) -> None:
    writer.mark("```" + language, end)
    writer.newlines += not writer.plain


class Code(State):
    """Fenced code, byte for byte as the model wrote it."""

    bulk = True

    def text(self, writer: Writer, text: str, end: int) -> State:
        writer.write(text, end)
        return _CODE

    def newline(self, writer: Writer, count: int, end: int) -> State:
        writer.newlines += count
        return _CODE

    def style(self, writer: Writer, style: str, end: int) -> State:
        if style != escapes.RESET:
            return self
        if writer.plain:  # the line of the fence goes with it
            writer.newlines = max(writer.newlines - 1, 0)
        writer.mark("```", end)
        return _CLOSED

    def part(self, writer: Writer, end: int) -> None:
        writer.newlines = 1
        writer.mark("```", end)


class _Closed(Line):
    """Directly behind a fence."""

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        # The answer ends here, and Q still waits for a backtick to match the fourth of this fence.
        writer.mark("`", end)
        return super().newline(writer, count, end)


class _Fence(Code):
    """Between the language of a fenced block and its code: a reset, and the colour of code."""

    bulk = False

    def style(self, writer: Writer, style: str, end: int) -> State:
        return _CODE if escapes.is_colour(style) else self


_CODE, _CLOSED = Code(), _Closed()


@frozen
class _Colour(State):
    """A colour at the start of a line: a heading, a quote, fenced code or inline code."""

    colour: str
    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        held = self.held + text
        if self.colour != escapes.GREEN and held.startswith("│"):
            return _Quote().text(writer, held, end)
        if self.colour == escapes.MAGENTA:
            return LINE.text(writer, held, end)
        if len(held) <= HOLD_LIMIT:
            return _Colour(self.colour, held)
        return self._code(writer, held, end)

    def newline(self, writer: Writer, count: int, end: int) -> State:
        state = self._code(writer, self.held, end)
        writer.newlines += 1
        return state

    @staticmethod
    def _code(writer: Writer, held: str, end: int) -> State:
        _fence(writer, "", end)
        writer.write(held, end)
        return _CODE

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if not self.held and style == escapes.BOLD:
            return _Heading() if writer.plain else LINE
        if not self.held and style == escapes.RESET:
            return _Empty()
        if escapes.is_colour(style):
            return Coloured(self.colour, self.held).style(writer, style, end)
        self.settle(writer, end)
        return LINE

    def settle(self, writer: Writer, end: int) -> None:
        if self.held:
            code(writer, self.held, end)


@frozen
class _Empty(State):
    """Nothing in a colour: an empty fenced block if the line ends here, else two backticks."""

    reset: bool = False

    def text(self, writer: Writer, text: str, end: int) -> State:
        self.settle(writer, end)
        return LINE.text(writer, text, end)

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        if self.reset:
            _fence(writer, "\n```", end)
            return None
        if not writer.fence:
            self.settle(writer, end)
            return LINE.newline(writer, count, end)
        writer.mark("```\n```", end)
        return _CLOSED.newline(writer, count, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.RESET:
            return _Empty(True)
        # Three backticks would have been a fence: Q has swallowed a space between them.
        writer.mark("`` " if style == escapes.GREEN else "``", end)
        return LINE.style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.mark("``", end)


@frozen
class _Quote(Hold):
    """The bars of a quote, as many as its level."""

    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        held = self.held + text
        bars = _BARS.match(held).end()  # type: ignore[union-attr]
        if held[bars:] in ("", "│") and len(held) <= HOLD_LIMIT:
            return _Quote(held)
        marks = ">" * (bars // 2) + " " if bars and writer.fence else "> " * (bars // 2)
        return LINE.text(writer, marks + held[bars:], end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.RESET:
            return super().style(writer, style, end)
        writer.write(self.held.replace("│", ">"), end)
        return LINE.style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.write(self.held.replace("│", ">").rstrip(), end)


@frozen
class _Heading(Hold):
    """Without marks: the number signs of a heading, to be left out."""

    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        held = self.held + text
        stop = _HASHES.match(held).end()  # type: ignore[union-attr]
        if stop == len(held) and not held.endswith(" ") and stop <= HOLD_LIMIT:
            return _Heading(held)
        writer.write(held[stop:], end)
        return LINE
