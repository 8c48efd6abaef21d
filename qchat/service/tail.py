"""The last frames of a running turn, shared by all who read it, and the way back into its transcript."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

from attrs import Factory, define, field

from qchat.adapters import checkpoints as files
from qchat.model.event import Text, Tool
from qchat.model.frame import Framer
from qchat.model.numbered import Numbered, NumberedEvent
from qchat.model.turn import Turn

Place = tuple[int, int]
"""(bytes of the transcript consumed, which of the events at that byte): a position within one turn."""

WINDOW_BYTES = 256 * 1024
SLICE_BYTES = 16 * 1024
"""So much is parsed before others run: about 100 µs of an ordinary answer."""
CHECKPOINT_BYTES = 1024 * 1024


@define(eq=False)
class Checkpoints:
    """States of a turn's parser, about one a MiB, so that no resume parses a long transcript again."""

    states: list[Numbered]
    """The first is that at the beginning; each is behind the one before."""
    _due: int = Factory(lambda self: self.states[-1].consumed + CHECKPOINT_BYTES, takes_self=True)
    """How many bytes a parser has consumed whose state is to be the next."""

    @classmethod
    def of(cls, turn: Turn) -> "Checkpoints":
        return cls([Numbered.create(turn.form, turn.output)])

    @classmethod
    def kept(cls, turn: Turn, transcript: Path) -> "Checkpoints":
        """Those that were saved when a long turn ended, if they were."""
        long = turn.ending is not None and turn.ending.bytes > CHECKPOINT_BYTES
        states = files.load(transcript) if long else None
        return cls(states) if states else cls.of(turn)

    def save(self, transcript: Path) -> None:
        """Keep them beside the transcript of a turn that has ended; for a thread."""
        files.save(transcript, tuple(self.states))

    def offer(self, parser: Numbered) -> None:
        """Remember the state of ``parser``, if the last one is far enough behind."""
        if parser.consumed >= self._due:
            self.states.append(parser.fork())
            self._due = parser.consumed + CHECKPOINT_BYTES

    def before(self, offset: int) -> Numbered:
        """A parser of its own that has consumed less than ``offset`` bytes, or none.

        One that has consumed all of them has given the events of the last byte away.
        """
        index = bisect_left(self.states, offset, key=lambda state: state.consumed) - 1
        return self.states[max(index, 0)].fork()


@define(eq=False)
class Tail:
    """What a running turn's readers share. The window forgets; who falls behind it reads the transcript."""

    turn: Turn
    framer: Framer
    checkpoints: Checkpoints
    parser: Numbered
    floor: Place = (0, 0)
    """The place right before the first frame of the window."""
    ended: bool = False
    answered: bool = False
    """Whether the answer has anything in it."""
    worked: bool = False
    """Whether a tool has completed."""
    _first: int = 0
    _places: list[Place] = field(factory=list)
    _frames: list[bytes] = field(factory=list)
    _bytes: int = 0
    _joined: tuple[int, int, bytes] = (0, 0, b"")

    @classmethod
    def of(cls, turn: Turn, framer: Framer) -> "Tail":
        return cls(turn, framer, Checkpoints.of(turn), Numbered.create(turn.form, turn.output))

    @property
    def end(self) -> int:
        """The number of the frame that comes next."""
        return self._first + len(self._frames)

    def feed(self, data: bytes) -> None:
        """Take what the CLI wrote; it is in the transcript already."""
        self._add(self.parser.feed(data))
        self.checkpoints.offer(self.parser)

    def close(self) -> None:
        """The transcript is complete."""
        self._add(self.parser.close())

    def finish(self, turn: Turn) -> None:
        """The turn has ended, and its row says how."""
        assert turn.ending is not None
        self._append((turn.ending.bytes + 1, 0), self.framer.ending(turn))
        self.ended = True

    def _add(self, events: list[NumberedEvent]) -> None:
        for end, nth, event in events:
            if isinstance(event, Text):
                self.answered = True
            elif isinstance(event, Tool) and event.state == "completed":
                self.worked = True
            self._append((end, nth), self.framer.event(self.turn.number, end, nth, event))

    def _append(self, place: Place, frame: bytes) -> None:
        self._places.append(place)
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._bytes > WINDOW_BYTES and len(self._frames) > 1:
            self._forget()

    def _forget(self) -> None:
        """Drop the older half of the window, so that dropping costs little a frame."""
        count = 0
        while self._bytes > WINDOW_BYTES // 2 and count < len(self._frames) - 1:
            self._bytes -= len(self._frames[count])
            count += 1
        self.floor = self._places[count - 1]
        del self._places[:count], self._frames[:count]
        self._first += count

    def index_after(self, place: Place) -> int | None:
        """The number of the frame right after ``place``; None when the window does not show it.

        It does not when the place lies before the window, or inside a frame of it: pieces of text
        are merged as they come, and a reader may stand where an earlier stream had cut.
        """
        places = self._places
        if len(places) > 1 and places[-2] == place:  # who keeps up: nothing needs to be searched for
            return self.end - 1
        index = bisect_right(places, place)
        before = places[index - 1] if index else self.floor
        # What comes next has not begun before ``place``: nothing is there yet, or the terminal event.
        undivided = index >= len(places) - self.ended
        if place == before or (undivided and place > before):
            return self._first + index
        return None

    def boundary_after(self, place: Place) -> Place:
        """The first place beyond ``place`` from which the window goes on."""
        if place < self.floor:
            return self.floor
        return self._places[bisect_right(self._places, place)]

    def since(self, index: int) -> tuple[bytes, Place]:
        """All frames from number ``index`` on, joined, and the place behind them."""
        if self._joined[:2] != (index, self.end):
            # Readers that keep up all ask for the same frames: join them once.
            self._joined = (index, self.end, b"".join(self._frames[index - self._first :]))
        return self._joined[2], self._places[-1]


def replay(
    path: Path,
    turn: Turn,
    *,
    checkpoints: Checkpoints,
    framer: Framer,
    after: Place,
    until: Place | None,
) -> Iterator[tuple[bytes, Place]]:
    """The frames behind ``after`` and up to ``until`` (or the end), read from the transcript.

    Yields (frames, the place behind them) after every slice, also with no frames, so that the
    caller can let others run.
    """
    parser = checkpoints.before(after[0])
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a turn that never started
        return
    try:
        while True:
            # A piece of text must not reach across the places between which it was asked for.
            bounds = (after[0], until[0] if until else None)
            stops = [bound for bound in bounds if bound is not None and bound > parser.consumed]
            data = os.pread(
                fd, min([SLICE_BYTES, *(stop - parser.consumed for stop in stops)]), parser.consumed
            )
            events = parser.feed(data) if data else parser.close()
            frames, last = [], after
            for end, nth, event in events:
                if (end, nth) > after and (until is None or (end, nth) <= until):
                    frames.append(framer.event(turn.number, end, nth, event))
                    last = (end, nth)
            reached = until is not None and parser.consumed >= until[0]
            after = until if until is not None and reached else last
            yield b"".join(frames), after
            if reached or not data:
                return
            checkpoints.offer(parser)
    finally:
        os.close(fd)
