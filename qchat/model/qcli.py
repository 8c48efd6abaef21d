"""Reads what the Q CLI writes to a pipe: answers, and the cards of the tools that it uses between them.

An answer begins with a coloured ``> ``, a card with a coloured heading. Without the colour they are
text that looks alike. Where neither is going on, text goes through as it is.
"""

from typing import Self

from attrs import Factory, define

from qchat.model import escapes
from qchat.model.answer import REMARKS, Answer
from qchat.model.cards import MARKER as CARD
from qchat.model.cards import Cards
from qchat.model.run import Run
from qchat.model.scanner import Scanner
from qchat.model.sink import Sink
from qchat.model.writer import Writer

_PROMPT = "> "


@define
class QCli(Scanner):
    """Markdown and tool events; with ``plain``, the markdown without its marks."""

    _answer: Answer = Factory(lambda self: Answer(Writer(self.sink)), takes_self=True)
    _cards: Cards = Factory(lambda self: Cards(self.sink, self.run), takes_self=True)
    _colour: str | None = None
    """The colour that may begin one of the markers."""
    _held: str = ""
    """What has been read of the marker."""

    @classmethod
    def create(cls, *, plain: bool) -> Self:
        sink, run = Sink(), Run()
        return cls(sink=sink, run=run, answer=Answer(Writer(sink, plain)), cards=Cards(sink, run))

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of the tools that have been announced and have not ended."""
        return self._cards.pending

    @property
    def bulk(self) -> bool:
        """Whether text may have line ends in it (not at its end), and line ends come together."""
        return self._colour is None and self._target.bulk

    @property
    def ordinary(self) -> bool:
        """Whether whole lines of an answer may be taken at once."""
        return self._answer.ordinary and self._colour is None and not self._cards.active

    def text(self, text: str, end: int) -> None:
        """Text, known at byte ``end``."""
        if self._colour is not None:
            markers = self._markers()
            held = self._held + text
            for marker in markers:
                if held.startswith(marker) and marker != _PROMPT:
                    self.run.skip(len(marker) - len(self._held))
                    self._begin(marker, held[len(marker) :], end)
                    return
            if any(marker.startswith(held) for marker in markers):
                self._held = held
                return
            self._replay(self.run.where(_mismatch(self._held, text, markers)))
        self._target.text(text, end)

    def newline(self, count: int, end: int) -> None:
        """Line ends."""
        if self._colour is not None:
            self._replay(end)
        self._target.newline(count, end)

    def style(self, style: str, end: int) -> None:
        """A style, or an erased line."""
        if self._colour is not None and style == escapes.RESET and self._held == _PROMPT:
            self._colour, self._held = None, ""
            self._cards.fail(end)
            self._answer.respond(end)
            return
        if self._colour is not None:
            self._replay(end)
        if escapes.is_colour(style) and (self._cards.active or self._answer.takes_marker(style)):
            self._colour = style
        else:
            self._target.style(style, end)

    def finish(self, end: int) -> None:
        """The transcript ends."""
        self._replay(end)
        self._cards.fail(end)
        self._answer.close(end)

    def _markers(self) -> tuple[str, ...]:
        """What the colour may be the beginning of, where it stands."""
        if self._cards.active:
            return (CARD, _PROMPT)
        if self._answer.outside:
            return (CARD, _PROMPT, *REMARKS)
        return (CARD, _PROMPT) if self._answer.coding else (CARD,)

    def _begin(self, marker: str, rest: str, end: int) -> None:
        """A card, or a remark."""
        self._colour, self._held = None, ""
        if marker == CARD:
            if not self._cards.active:
                self._answer.part(self.run.start)
            self._cards.begin(self.run.start)
        else:
            self._answer.remark(marker)
        if rest:
            self._target.text(rest, end)

    def _replay(self, end: int) -> None:
        """What began with a colour is no marker, as is known since byte ``end``."""
        if self._colour is None:
            return
        colour, held = self._colour, self._held
        self._colour, self._held = None, ""
        self.sink.floor = max(self.sink.floor, end)
        self._target.style(colour, end)
        if held:
            data, start = self.run.data, self.run.start
            self.run.data, self.run.start = b"", end
            self._target.text(held, end)
            self.run.data, self.run.start = data, start

    @property
    def _target(self) -> Answer | Cards:
        return self._cards if self._cards.active else self._answer


def _mismatch(held: str, text: str, markers: tuple[str, ...]) -> int:
    """How many characters of ``text`` it takes to see that no marker goes on with it."""
    return next(
        count
        for count in range(1, len(text) + 1)
        if not any(marker.startswith(held + text[:count]) for marker in markers)
    )
