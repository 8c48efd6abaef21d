"""The tool cards: announced all together, then run one after the other, each with its own output.

A card's end is a dotted line and, in style, "Completed in". Without the styles it is output that
looks like it. A tool that fails tells stderr only: its card ends with whatever comes next.
"""

import re

from attrs import define, frozen

from qchat.model import escapes
from qchat.model.description import Description
from qchat.model.event import ToolState
from qchat.model.run import Run
from qchat.model.sink import Sink

MARKER = "🛠️  Using tool: "
"""What a card begins with, in colour."""

_DOTS = " ⋮ "
_END = re.compile(r" ● (Completed in|Execution failed after) ([0-9]+)\.([0-9]{1,3})s:?")
_END_LIMIT = 64
_DOTTED = _DOTS + "\n"


@frozen
class _Card:
    id: str
    name: str
    silent: bool
    """Whether its tool writes nothing itself."""


@define
class Cards:
    """The tools that have been announced and have not ended."""

    out: Sink
    run: Run
    _count: int = 0
    _open: tuple[_Card, ...] = ()
    _description: Description | None = None
    _fresh: bool = False
    """Whether nothing has come since the last description was complete."""
    _held: str = ""
    """What may be the beginning of a card's end."""
    _styled: bool = False
    """Whether a style has come behind the dotted line."""
    _gap: int = 0
    """Line ends that belong to the end of the last card."""
    _heard: bool = False
    """Whether the first of the open cards has had output."""

    @property
    def active(self) -> bool:
        """Whether what comes belongs to a card."""
        return self._description is not None or bool(self._open)

    @property
    def bulk(self) -> bool:
        """Whether text may come with line ends in it, and several line ends at once."""
        return self._description is None and not self._styled

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of the tools that have not ended."""
        return tuple(card.name for card in self._open)

    def begin(self, end: int) -> None:
        """The marker of a card: directly behind a description it joins its batch."""
        if self._description is not None:
            self._announce(end)
        elif not self._fresh:
            self.fail(end)
        self._description = Description()

    def fail(self, end: int) -> None:
        """Something follows that cannot come from the tools that are still open."""
        if self._description is not None:
            self._announce(end)
        self._disappoint(end)
        while self._open:
            self._end(end, "failed")
        self._gap = 0

    def text(self, text: str, end: int) -> None:
        """Text, known at byte ``end``; with line ends in it only in bulk."""
        if self._description is not None:
            room = self._description.room
            self._description.text(text[:room])
            if len(text) <= room:
                return
            text = text[room:]
            self._announce(self.run.where(room + 1))
            self.run.skip(room)
        elif text[0] == "\n":
            lines = len(text) - len(text.lstrip("\n"))
            self.newline(lines, self.run.where(lines))
            self.run.skip(lines)
            text = text[lines:]
        if text[0] != " ":
            self._skip_silent(self.run.where(1))
        self._fresh, self._gap = False, 0
        held = self._held + text
        if self._styled and len(held) <= _END_LIMIT:
            self._held = held
            return
        self._styled = False
        waiting = _waiting(held)
        out = len(held) - waiting
        if waiting and out:
            # Known to be output when the first character came that left no more waiting.
            known = next(n for n in range(out, len(held) + 1) if n - _waiting(held[:n]) == out)
            end = self.run.where(known - len(held) + len(text))
        self._output(held[:out], end)
        self._held = held[out:]

    def newline(self, count: int, end: int) -> None:
        """Line ends; more than one only in bulk."""
        if self._description is not None:
            if self._description.newline():
                self._announce(end)
            return
        swallowed = min(self._gap, count)
        self._gap -= swallowed
        count -= swallowed
        if not count or (self._styled and self._ended(end)):
            return
        self._fresh = False
        if self._held == _DOTS and count == 1:
            self._held = _DOTTED
        else:
            if not self._held:
                self._skip_silent(end - count + 1)
            self._disappoint(end)
            self._output("\n" * count, end)

    def style(self, style: str, end: int) -> None:
        """A style, or an erased line."""
        if self._description is not None:
            if self._description.style(style):
                self._announce(end)
        elif self._held == _DOTTED:
            self._styled = True
        elif not (self._styled and style == escapes.RESET and self._ended(end)):
            self._disappoint(end)

    def _announce(self, end: int) -> None:
        description, self._description = self._description, None
        assert description is not None
        name, trusted, about = description.finish()
        self._count += 1
        self._heard = self._heard and bool(self._open)
        card = _Card(str(self._count), name, description.silent)
        self._open += (card,)
        self.out.tool(end, card.id, "started", name=name, trusted=trusted, about=about)
        self._fresh, self._held = True, _DOTTED if description.dots else ""
        if description.rest:
            self._fresh = False
            self._output(description.rest, end)

    def _ended(self, end: int) -> bool:
        """Whether what is held is the end of a card."""
        match = _END.fullmatch(self._held, len(_DOTTED))
        if match is None:
            return False
        self._held, self._styled = "", False
        # Q writes whole seconds, a point and the milliseconds without zeros in front: 0.57 is 57 ms.
        seconds = int(match[2]) + int(match[3]) / 1000
        self._end(end, "completed" if match[1].startswith("C") else "failed", seconds)
        self._gap = 2 if self._open else 0
        return True

    def _end(self, end: int, state: ToolState, seconds: float | None = None) -> None:
        card, self._open, self._heard = self._open[0], self._open[1:], False
        self.out.tool(end, card.id, state, name=card.name, seconds=seconds)

    def _skip_silent(self, end: int) -> None:
        """Output cannot come from a tool that writes none: it has failed, and the next one runs."""
        while not (self._heard or self._held) and len(self._open) > 1 and self._open[0].silent:
            self._end(end, "failed")

    def _disappoint(self, end: int) -> None:
        """What is held is not the end of a card, but output."""
        held, self._held, self._styled = self._held, "", False
        self._output(held, end)

    def _output(self, text: str, end: int) -> None:
        if text:
            self._heard = True
            self.out.output(self._open[0].id, text, end)


def _waiting(text: str) -> int:
    """How many characters at the end of ``text`` may begin a dotted line."""
    return next((count for count in (4, 3, 2, 1) if text.endswith(_DOTTED[:count])), 0)
