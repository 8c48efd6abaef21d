# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""Q's styles within a line, and the marks that they stand for.

Each state takes a piece of what Q wrote and returns the state that follows; None is the start of the
next line. Text may be cut anywhere between two calls without changing what is written.
"""

import re
from typing import ClassVar

from attrs import frozen

from qchat.model import escapes
from qchat.model.writer import Writer

HOLD_LIMIT = 1024
"""Characters that wait for their meaning at most; beyond, the likeliest meaning is taken."""

_WORD = re.compile("[A-Za-z0-9]*")
_IDENTIFIER = re.compile("[A-Za-z0-9_]*")
_WORD_LIMIT = 64


class State:
    """What Q is in the middle of."""

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


class Line(State):
    """Within a line. Its end is a reset and a line end; a bare line end is the end of the answer."""

    def text(self, writer: Writer, text: str, end: int) -> State:
        writer.write(text, end)
        return LINE

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        writer.newlines += 1
        return OUTSIDE

    def style(self, writer: Writer, style: str, end: int) -> State:
        if mark := _OPENING.get(style):
            return opened(writer, mark, end)
        if mark := _SHUTTING.get(style):
            _shut(writer, mark, end)
            return LINE
        if style == escapes.GREEN:
            writer.mark("`", end)
        elif style not in _FOLLOWING and escapes.is_colour(style):
            return Coloured(style)
        return _FOLLOWING.get(style, LINE)


class _Ending(Line):
    """A reset that closed nothing."""

    def newline(self, writer: Writer, count: int, end: int) -> None:
        writer.newlines += 1


OUTSIDE, LINE, _ENDING = Outside(), Line(), _Ending()


class _Hold(State):
    """Waits within a line: whatever is no text tells that nothing more belongs to it."""

    def newline(self, writer: Writer, count: int, end: int) -> State | None:
        self.settle(writer, end)
        return LINE.newline(writer, count, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        self.settle(writer, end)
        return LINE.style(writer, style, end)


def opened(writer: Writer, mark: str, end: int) -> State:
    """Begin bold or strikethrough."""
    if writer.plain:
        return _Opening(mark)
    writer.write(mark, end)
    return LINE


def _shut(writer: Writer, mark: str, end: int) -> None:
    if writer.last[-1:].isspace():
        writer.write(mark, end)  # nothing is emphasised by it, so it is no mark
    else:
        writer.mark(mark, end)


@frozen
class _Opening(_Hold):
    """Without marks: asterisks that open nothing, because a space follows, are text."""

    mark: str

    def text(self, writer: Writer, text: str, end: int) -> State:
        if text[0].isspace():
            self.settle(writer, end)
        return LINE.text(writer, text, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.write(self.mark, end)


@frozen
class Word(_Hold):
    """Italic has begun: an asterisk, unless this is an identifier with underscores like _this_one."""

    word: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        word = self.word + text
        if len(word) <= _WORD_LIMIT and _WORD.fullmatch(word):
            return Word(word)
        if writer.plain and not self.word and text[0].isspace():
            word = "*" + word
        writer.mark("*", end)
        return LINE.text(writer, word, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.NOT_ITALIC and self.word:
            return Shut(self.word)
        return super().style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.mark("*", end)
        writer.write(self.word, end)


@frozen
class Shut(_Hold):
    """Italic has ended, after ``word`` if its beginning is not written yet."""

    word: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State:
        before = (self.word or writer.last)[-1:]
        if before.isascii() and before.isalnum() and _IDENTIFIER.match(text[0])[0]:  # type: ignore[index]
            if self.word:
                return _Identifier(self.word + "_").text(writer, text, end)
            if not (before.isdigit() and text[0].isdigit()):
                return LINE.text(writer, "_" + text, end)
        self.settle(writer, end)
        return LINE.text(writer, text, end)

    def settle(self, writer: Writer, end: int) -> None:
        if self.word:
            writer.mark("*", end)
            writer.write(self.word, end)
            writer.mark("*", end)
        else:
            _shut(writer, "*", end)


@frozen
class _Identifier(_Hold):
    """``_a_b``, or the ``*a_b`` of ``*a_b*``: the character behind the identifier tells."""

    name: str

    def text(self, writer: Writer, text: str, end: int) -> State:
        name = self.name + text
        stop = _IDENTIFIER.match(name).end()  # type: ignore[union-attr]
        if stop == len(name) <= _WORD_LIMIT:
            return _Identifier(name)
        return LINE.text(writer, ("*" if name[stop : stop + 1] == "*" else "_") + name, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.write("_" + self.name, end)


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
        return LINE

    def finish(self, writer: Writer, end: int) -> None:
        writer.mark("`", end)


class _Address(Span):
    """The address of a link, or of a footnote."""

    def finish(self, writer: Writer, end: int) -> None:
        writer.write(")", end)


SPAN, _ADDRESS = Span(), _Address()

_OPENING = {escapes.BOLD: "**", escapes.STRIKE: "~~"}
_SHUTTING = {escapes.NOT_BOLD: "**", escapes.NOT_STRIKE: "~~"}
_FOLLOWING: dict[str, State] = {
    escapes.RESET: _ENDING,
    escapes.ITALIC: Word(),
    escapes.NOT_ITALIC: Shut(),
    escapes.GREEN: SPAN,
}


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
        return LINE

    def newline(self, writer: Writer, count: int, end: int) -> State:
        return self.text(writer, "\n", end)

    def style(self, writer: Writer, style: str, end: int) -> State:
        if escapes.is_colour(style):
            text = self.held.removesuffix(" ")
            writer.write(f"{text} (" if writer.plain else f"[{text}](", end)
            return _ADDRESS
        if style == escapes.RESET:
            self.settle(writer, end)
            return LINE
        return self

    def settle(self, writer: Writer, end: int) -> None:
        if self.colour == escapes.CYAN:
            writer.write(self.held, end)
        else:
            code(writer, self.held, end)
