# ruff: noqa: ARG002 - all states have one interface, and few need all of it
"""Q's styles within an ordinary line, and the marks that they stand for."""

from qchat.model import escapes
from qchat.model.emphasis import Italic, Shut, opened, shut
from qchat.model.span import SPAN, Coloured
from qchat.model.state import OUTSIDE, State
from qchat.model.writer import Writer

_OPENING = {escapes.BOLD: "**", escapes.STRIKE: "~~"}


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
        if style == escapes.NOT_STRIKE:
            shut(writer, "~~", end)
        elif style == escapes.GREEN:
            writer.mark("`", end)
        elif style not in _FOLLOWING and escapes.is_colour(style):
            return Coloured(style)
        return _FOLLOWING.get(style, LINE)


class _Ending(Line):
    """A reset that closed nothing."""

    def newline(self, writer: Writer, count: int, end: int) -> None:
        writer.newlines += 1


LINE, _ENDING = Line(), _Ending()
State.line = LINE
_FOLLOWING: dict[str, State] = {
    escapes.RESET: _ENDING,
    escapes.ITALIC: Italic(),
    escapes.NOT_ITALIC: Shut("*"),
    escapes.NOT_BOLD: Shut("**"),
    escapes.GREEN: SPAN,
}
