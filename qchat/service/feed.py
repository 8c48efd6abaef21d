"""The feed: every event of every turn, from any position on, for any number of readers.

There are no queues. A reader holds a place; when it has taken what there is it waits to be woken,
and looks again. Replay and live are one path: from the transcript up to a frame of the running
turn's window, from there on in the window, and back to the transcript for whoever falls behind.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from functools import partial
from pathlib import Path

from attrs import define, field

from qchat.errors import Overloaded, ValidationError
from qchat.model.event import Position
from qchat.model.frame import PING, Framer
from qchat.model.turn import Turn
from qchat.service.channel import Channel, Waiter
from qchat.service.tail import Checkpoints, Place, Tail, replay

MAX_CACHED_CHECKPOINTS = 64
Push = Callable[[bytes], bool]
"""Takes a batch of frames at once, or says no."""


@define(eq=False, kw_only=True)
class Feed:
    """``find`` gives a turn's row, ``transcript`` the path of its bytes."""

    find: Callable[[str, int], Turn | None]
    transcript: Callable[[str, int], Path]
    framer: Framer
    max_streams: int
    heartbeat: float
    streams: int = 0
    """Open now."""
    opened: int = 0
    resumed: int = 0
    _channels: dict[str, Channel] = field(factory=dict)
    _checkpoints: OrderedDict[tuple[str, int], Checkpoints] = field(factory=OrderedDict)
    closing: bool = False

    # For the service

    def channel(self, session_id: str) -> Channel:
        return self._channels.setdefault(session_id, Channel())

    def begin(self, turn: Turn) -> Tail:
        """A turn starts to run."""
        tail = Tail.of(turn, self.framer)
        channel = self.channel(turn.session_id)
        channel.tail = tail
        channel.wake()
        return tail

    def finish(self, turn: Turn) -> None:
        """A turn has ended; its row is committed."""
        channel = self.channel(turn.session_id)
        tail = channel.tail
        if tail is not None and tail.turn.number == turn.number:  # one that waited ends while another runs
            channel.tail = None
            tail.finish(turn)
            self._remember(turn, tail.checkpoints)
        channel.wake()
        self._drop(turn.session_id)

    def set_queued(self, session_id: str, places: dict[int, int]) -> None:
        """The places of the session's waiting turns have changed."""
        channel = self.channel(session_id)
        if channel.queued != places:
            channel.queued = places
            channel.wake()
        self._drop(session_id)

    def appeared(self, session_id: str) -> None:
        """The session has a new turn."""
        if channel := self._channels.get(session_id):
            channel.wake()

    def delete(self, session_id: str) -> None:
        """The session is gone: tell its readers and end their streams."""
        if channel := self._channels.pop(session_id, None):
            channel.deleted = True
            channel.wake()

    def close(self) -> None:
        """The service goes down: end every stream with a frame that says to come back."""
        self.closing = True
        for channel in self._channels.values():
            channel.wake()

    def watched(self) -> set[str]:
        """The sessions that have a stream open."""
        return {session_id for session_id, channel in self._channels.items() if channel.readers}

    # For readers

    async def check(self, session_id: str, position: Position) -> Turn:
        """The turn that ``position`` lies in.

        :raises ValidationError: for a position that the session does not have.
        """
        turn = self.find(session_id, position.turn)
        if turn is None:
            raise ValidationError(f"id {position}: the session has no turn {position.turn}")
        if turn.ending:
            end = turn.ending.bytes + 1
        else:
            channel = self._channels.get(session_id)
            tail = channel.tail if channel else None
            end = tail.parser.consumed if tail and tail.turn.number == turn.number else 0
        if position.offset > end:
            raise ValidationError(f"id {position}: turn {turn.number} ends at {turn.number}-{end}")
        if position.nth and not await self._is_event(turn, position):
            raise ValidationError(f"id {position}: turn {turn.number} has no event of this id")
        return turn

    async def _is_event(self, turn: Turn, position: Position) -> bool:
        offset, nth = position.offset, position.nth
        if offset == 0:
            return nth == 1 and self.notice(turn.session_id, turn.number) is not None
        at_end = turn.ending is not None and offset == turn.ending.bytes  # where closing adds events
        found = False
        for batch, _ in self.replay(turn, (offset, nth - 1), None if at_end else (offset, nth)):
            found = found or bool(batch)
            await asyncio.sleep(0)
        return found

    def seen_whole(self, turn: Turn, position: Position) -> bool:
        """Whether nothing comes behind ``position``, now and for ever."""
        return turn.ending is not None and position.offset > turn.ending.bytes

    @contextmanager
    def stream(self, session_id: str, *, resumed: bool = False) -> Iterator[None]:
        """Count a reader, for as long as it reads; ``resumed`` when it was there before.

        :raises Overloaded: when too many streams are open.
        """
        if self.streams >= self.max_streams:
            raise Overloaded(limit=self.max_streams)
        self.streams += 1
        self.opened += 1
        self.resumed += resumed
        channel = self.channel(session_id)
        channel.readers += 1
        try:
            yield
        finally:
            self.streams -= 1
            channel.readers -= 1
            self._drop(session_id)

    async def session(
        self, session_id: str, after: Position | None, push: Push | None = None
    ) -> AsyncGenerator[bytes]:
        """Batches of frames of a whole session behind ``after``, turn by turn, until it is deleted."""
        channel = self.channel(session_id)
        number = after.turn if after else 1
        while True:
            turn = self.find(session_id, number)
            if turn is not None:
                if after is None:
                    yield self.framer.begin(turn)
                async with aclosing(self.turn(session_id, after or Position(number, 0), push)) as batches:
                    async for batch in batches:
                        yield batch
                number, after = number + 1, None
            if channel.deleted or self.closing:
                if turn is None:  # else its own stream has said so
                    yield self._farewell(channel, session_id)
                return
            if turn is None and not await channel.changed(self.heartbeat):
                yield PING

    async def turn(self, session_id: str, after: Position, push: Push | None = None) -> AsyncGenerator[bytes]:
        """Batches of frames of one turn behind ``after``, up to its terminal event.

        What the turn writes while its reader waits for it goes to ``push``, which says whether it took
        it: so a frame reaches a reader that keeps up without a change of tasks, which costs more than
        the frame. What it does not take is yielded.
        """
        channel = self.channel(session_id)
        reader = _Reader(self, channel, session_id, after.turn, (after.offset, after.nth))
        with closing(Waiter(channel, self.heartbeat, push and partial(reader.push, push))) as waiter:
            while True:
                for batch in reader.ready():
                    yield batch
                if reader.done:
                    return
                if channel.deleted or self.closing:
                    yield self._farewell(channel, session_id)
                    return
                if not await waiter.changed():
                    yield PING

    def notice(self, session_id: str, number: int) -> bytes | None:
        """What a reader should know before a turn begins: that the agent has forgotten the one before."""
        before = self.find(session_id, number - 1)
        while before and before.ending and before.started is None:  # cancelled while it waited
            before = self.find(session_id, before.number - 1)
        if before is None or before.form != "q" or before.ending is None:
            return None
        if before.ending.reason in ("completed", "failed"):
            return None
        return self.framer.forgotten(number)

    def replay(self, turn: Turn, after: Place, until: Place | None) -> Iterator[tuple[bytes, Place]]:
        """Frames from the transcript; see :func:`.tail.replay`."""
        channel = self._channels.get(turn.session_id)
        if channel and channel.tail and channel.tail.turn.number == turn.number:
            checkpoints = channel.tail.checkpoints
        else:
            checkpoints = self._remember(turn, None)
        return replay(
            self.transcript(turn.session_id, turn.number),
            turn,
            checkpoints=checkpoints,
            framer=self.framer,
            after=after,
            until=until,
        )

    def _remember(self, turn: Turn, checkpoints: Checkpoints | None) -> Checkpoints:
        """The checkpoints of a turn that has ended; those of the turns read last are kept."""
        key = (turn.session_id, turn.number)
        found = checkpoints or self._checkpoints.pop(key, None)
        if found is None:
            found = Checkpoints.kept(turn, self.transcript(*key))
        self._checkpoints[key] = found
        while len(self._checkpoints) > MAX_CACHED_CHECKPOINTS:
            self._checkpoints.popitem(last=False)
        return found

    def _farewell(self, channel: Channel, session_id: str) -> bytes:
        return self.framer.deleted(session_id) if channel.deleted else self.framer.restarting()

    def _drop(self, session_id: str) -> None:
        """Forget a channel that nobody waits on and nothing runs in."""
        channel = self._channels.get(session_id)
        if channel and not (channel.readers or channel.tail or channel.queued or channel.awaited):
            del self._channels[session_id]


@define(eq=False)
class _Reader:
    """One reader's way through one turn."""

    feed: Feed
    channel: Channel
    session_id: str
    number: int
    place: Place
    done: bool = False
    _tail: Tail | None = None
    _queued: int = 0
    _told: bool = False
    """The reader has been told that the turn waits."""

    def ready(self) -> Iterator[bytes]:
        """All that can be sent without waiting. Empty batches only let others run."""
        if self.place == (0, 0) and (notice := self.feed.notice(self.session_id, self.number)):
            self.place = (0, 1)
            yield notice
        tail = self.channel.tail
        if tail is not None and tail.turn.number == self.number:
            self._tail = tail  # kept when the turn ends: its window has the end, too
        if self._tail is not None:
            if self._told:
                self._told = False
                yield self.feed.framer.started(self.number)
            yield from self._from_window(self._tail)
            return
        turn = self.feed.find(self.session_id, self.number)
        if turn is not None and turn.ending:
            self.done = True
            if self.place[0] <= turn.ending.bytes:
                yield from self._from_transcript(turn, None)
                self.place = (turn.ending.bytes + 1, 0)
                yield self.feed.framer.ending(turn)
            return
        queued = self.channel.queued.get(self.number, 0)
        if queued != self._queued:
            self._queued = queued
            self._told = True
            yield self.feed.framer.queued(self.number, queued) if queued else b""

    def push(self, push: Push) -> bool:
        """Hand on what the running turn has written; false when there is something else to be done."""
        tail = self._tail
        if tail is None or tail.ended or self.channel.deleted or self.feed.closing:
            return False
        index = tail.index_after(self.place)
        if index is None or index == tail.end:
            return False
        batch, place = tail.since(index)
        if push(batch):
            self.place = place
            return True
        return False

    def _from_window(self, tail: Tail) -> Iterator[bytes]:
        while True:
            index = tail.index_after(self.place)
            if index is None:
                yield from self._from_transcript(tail.turn, tail.boundary_after(self.place))
            elif index < tail.end:
                batch, self.place = tail.since(index)
                yield batch
            else:
                self.done = tail.ended
                return

    def _from_transcript(self, turn: Turn, until: Place | None) -> Iterator[bytes]:
        for batch, place in self.feed.replay(turn, self.place, until):
            self.place = place
            yield batch
