"""Events with their places: what a parser gives, numbered so that every event has a name of its own."""

from typing import Self

from attrs import define

from qchat.model.event import Event
from qchat.model.parser import Parser, make_parser
from qchat.model.turn import Form, Output

NumberedEvent = tuple[int, int, Event]
"""(bytes of the transcript consumed, which of the events at that byte, the event)."""


@define(eq=False)
class Numbered:
    """A parser whose events are numbered. Place (0, 0) is the beginning, before every event."""

    parser: Parser
    _end: int = 0
    _nth: int = 0

    @classmethod
    def create(cls, form: Form, output: Output) -> Self:
        return cls(make_parser(form, output))

    @property
    def consumed(self) -> int:
        return self.parser.consumed

    def fork(self) -> "Numbered":
        """An independent one in the same state."""
        return Numbered(self.parser.fork(), self._end, self._nth)

    def feed(self, data: bytes) -> list[NumberedEvent]:
        return self._number(self.parser.feed(data))

    def close(self) -> list[NumberedEvent]:
        """What the end of the transcript brings; it never has number 0, which belongs to the last byte."""
        events = self.parser.close()
        if events and events[0].end != self._end:
            self._end, self._nth = events[0].end, 0
        return self._number(events)

    def _number(self, events: list[Event]) -> list[NumberedEvent]:
        numbered = []
        for event in events:
            self._nth = self._nth + 1 if event.end == self._end else 0
            self._end = event.end
            numbered.append((event.end, self._nth, event))
        return numbered
