"""Bold, italic and strikethrough, and which mark each of their ends was.

Q takes an asterisk for an underscore and an underscore for an asterisk, both at the beginning and at
the end, and forgets nothing at the end of a line: so ``2 * 3`` makes the next emphasis its opposite.
The mark is an asterisk, unless underscores make an identifier of what is around, or the other end of
the emphasis was printed as it is.
"""

import re

from attrs import frozen

from qchat.model import escapes
from qchat.model.state import Hold, State
from qchat.model.writer import Writer

_LIMIT = 256
"""Characters of a line that wait for the end of an emphasis."""


def opened(writer: Writer, mark: str, end: int) -> State:
    """Begin bold or strikethrough."""
    if writer.fence and mark == "**":
        return _Code()
    if not writer.plain:
        writer.write(mark, end)
    return _Opened(mark)


def shut(writer: Writer, mark: str, end: int) -> None:
    """End bold, italic or strikethrough: text, if it ends nothing, because a space is before it."""
    if writer.last.isspace():
        writer.write(mark, end)
    else:
        writer.mark(mark, end)


@frozen
class _Opened(Hold):
    """Directly behind the beginning of bold or strikethrough."""

    opening: str

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        if writer.plain and text[0].isspace():
            writer.write(self.opening, end)  # it begins nothing
        return self.line.text(writer, text, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.NOT_BOLD and self.opening == "**":
            writer.mark("__", end)  # ** again would have been something else
            return self.line
        return self.line.style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        if writer.plain:
            writer.write(self.opening, end)


@frozen
class _Code(Hold):
    """Bold in what is code for the reader: a name between underscores, or asterisks."""

    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        held = self.held + text
        if len(held) <= _LIMIT:
            return _Code(held)
        writer.write("**" + held, end)
        return self.line

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style == escapes.NOT_BOLD and self.held.isidentifier():
            writer.write(f"__{self.held}__", end)
            return self.line
        return super().style(writer, style, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.write("**" + self.held, end)


@frozen
class Italic(Hold):
    """Italic has begun, and is written when its end is known, which tells what its beginning was."""

    held: str = ""

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        held = self.held + text
        if len(held) <= _LIMIT and not held[0].isspace():
            return Italic(held)
        if writer.plain and held[0].isspace():
            writer.write("*", end)  # it begins nothing
        else:
            writer.mark("*", end)
        return self.line.text(writer, held, end)

    def style(self, writer: Writer, style: str, end: int) -> State | None:
        if style != escapes.NOT_ITALIC:
            return super().style(writer, style, end)
        if self.held and self.held[-1].isspace():  # neither an end nor a beginning of what ends here
            writer.write("*" + self.held, end)
            return Shut("*")
        if self.held:
            return _Closed(self.held)
        writer.mark("**", end)  # bold, which Q has taken apart because it had not seen the last bold's end
        return self.line

    def settle(self, writer: Writer, end: int) -> None:
        writer.mark("*", end)
        writer.write(self.held, end)


@frozen
class _Closed(Hold):
    """Italic has begun and ended; within a word, it has not ended but met an underscore."""

    held: str

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        if _is_inner(self.held[-1], text[0]):
            return _Either(self.held + _inner(self.held[-1], text[0]), "*").text(writer, text, end)
        self.settle(writer, end)
        return self.line.text(writer, text, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.mark("*", end)
        writer.write(self.held, end)
        writer.mark("*", end)


@frozen
class Shut(Hold):
    """Bold (``**``) or italic (``*``) ends, or begins if Q had not seen its last end."""

    mark: str

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        before, after = writer.last, text[0]
        if (not before or before.isspace()) and not after.isspace():
            return _Either("", self.mark).text(writer, text, end)
        if self.mark == "*" and after == "_":  # one half of a mark that Q has taken apart
            return self.line.text(writer, "_" + text, end)
        if self.mark == "*" and _is_inner(before, after):
            return self.line.text(writer, _inner(before, after) + text, end)
        self.settle(writer, end)
        return self.line.text(writer, text, end)

    def settle(self, writer: Writer, end: int) -> None:
        shut(writer, self.mark, end)


@frozen
class _Either(Hold):
    """Behind a mark that is made of asterisks or of underscores: as its other end is, in this line."""

    held: str
    mark: str

    def text(self, writer: Writer, text: str, end: int) -> State | None:
        held = self.held + text
        if len(held) <= _LIMIT and not self._closing(held):
            return _Either(held, self.mark)
        return self.line.text(writer, self._opening(held) + held, end)

    def settle(self, writer: Writer, end: int) -> None:
        writer.write(self._opening(self.held + " ") + self.held, end)

    def _closing(self, held: str) -> re.Match[str] | None:
        return _CLOSING[self.mark].search(held, 0, _LIMIT)

    def _opening(self, held: str) -> str:
        if held[:1] in ("*", "_"):
            return held[0] * len(self.mark)
        if closing := self._closing(held):
            return closing[1]
        return "_" if self.mark == "*" and _IDENTIFIER.match(held) else self.mark


_CLOSING = {
    "*": re.compile(r"[^\s*_(]([*_])[^A-Za-z0-9*_]"),
    "**": re.compile(r"[^\s*_(](\*\*|__)[^A-Za-z0-9*_]"),
}
_IDENTIFIER = re.compile("[A-Za-z0-9]+_[A-Za-z0-9]")


def _is_inner(before: str, after: str) -> bool:
    """Whether a mark between these characters is in the midst of a word."""
    return all(c.isascii() and (c.isalnum() or c == "_") for c in (before, after))


def _inner(before: str, after: str) -> str:
    """What such a mark is: part of an identifier, or of a product of numbers."""
    return "*" if before.isdigit() and after.isdigit() else "_"
