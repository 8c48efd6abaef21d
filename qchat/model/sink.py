"""Collects the events of one feed, joining neighbours that mean the same as one."""

from attrs import define, field

from qchat.model.event import Event, Notice, Text, Tool, ToolState


@define
class Sink:
    """Events in the order in which they became certain; their ends never decrease."""

    floor: int = 0
    """No event may end before this byte: it decided the meaning of those before it."""
    _end: int = 0
    _events: list[Event] = field(factory=list)
    _parts: list[str] = field(factory=list)
    _card: str = ""
    """The card whose output ``_parts`` is; empty when it is text."""

    def text(self, text: str, end: int) -> None:
        """Add a piece of the answer that became certain at byte ``end``."""
        self._add("", text, end)

    def output(self, card: str, text: str, end: int) -> None:
        """Add a piece of what the tool ``card`` wrote."""
        self._add(card, text, end)

    def tool(
        self,
        end: int,
        card: str,
        state: ToolState,
        *,
        name: str = "",
        trusted: bool = False,
        about: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add a step in the life of the tool ``card``."""
        self._flush()
        self._reach(end)
        self._events.append(Tool(self._end, card, state, name, trusted, about or {}, "", seconds))

    def notice(self, end: int, message: str) -> None:
        """Add a remark that is not part of the answer."""
        self._flush()
        self._reach(end)
        self._events.append(Notice(self._end, message))

    def take(self) -> list[Event]:
        """Hand over what has been collected."""
        self._flush()
        events, self._events = self._events, []
        return events

    def _add(self, card: str, text: str, end: int) -> None:
        if self._parts and self._card != card:
            self._flush()
        self._card = card
        self._parts.append(text)
        self._reach(end)

    def _reach(self, end: int) -> None:
        self._end = max(self._end, self.floor, end)

    def _flush(self) -> None:
        if self._parts:
            text = "".join(self._parts)
            self._parts = []
            self._events.append(
                Tool(self._end, self._card, "output", output=text) if self._card else Text(self._end, text)
            )
