"""The law that every parser obeys, as a check: events depend on the prefix, never on the cuts."""

from itertools import pairwise

from attrs import evolve

from qchat.model.event import Event, Text, Tool
from qchat.model.parser import Parser, make_parser
from qchat.model.turn import Form, Output


def by_byte(parser: Parser, data: bytes) -> list[Event]:
    """The canonical events: those of a parser that is fed byte by byte."""
    return [event for byte in data for event in parser.feed(bytes([byte]))]


def key(event: Event) -> str | None:
    """What neighbours must share to be joined."""
    if isinstance(event, Text):
        return "text"
    return event.id if isinstance(event, Tool) and event.state == "output" else None


def join(one: Event, two: Event) -> Event:
    if isinstance(one, Text) and isinstance(two, Text):
        return Text(two.end, one.text + two.text)
    assert isinstance(one, Tool)
    assert isinstance(two, Tool)
    return evolve(two, output=one.output + two.output)


def joined(events: list[Event]) -> list[Event]:
    """All neighbours joined that may be."""
    result: list[Event] = []
    for event in events:
        if result and key(event) is not None and key(event) == key(result[-1]):
            result[-1] = join(result[-1], event)
        else:
            result.append(event)
    return result


def placed(events: list[Event]) -> list[tuple[int, int, Event]]:
    """Events with their end and their number among those of the same end."""
    result: list[tuple[int, int, Event]] = []
    for event in events:
        nth = result[-1][1] + 1 if result and result[-1][0] == event.end else 0
        result.append((event.end, nth, event))
    return result


def check(form: Form, output: Output, data: bytes, cuts: list[int]) -> None:
    """Fed in the pieces that ``cuts`` make, the events are the canonical ones, joined within a piece."""
    whole = make_parser(form, output)
    canonical = by_byte(whole, data)
    for one, two in pairwise(canonical):
        assert one.end <= two.end
        assert key(one) is None or key(one) != key(two) or one.end < two.end
    pieces = make_parser(form, output)
    bounds = sorted({0, len(data), *(cut for cut in cuts if 0 <= cut <= len(data))})
    for start, stop in pairwise(bounds):
        events = pieces.feed(data[start:stop])
        expected = joined([event for event in canonical if start < event.end <= stop])
        assert events == expected, (start, stop)
        assert pieces.consumed == stop
    assert pieces.close() == whole.close()
