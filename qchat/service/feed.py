"""The feed: every event of every turn, from any position on, for any number of readers.

There are no queues. A reader holds a place; when it has taken what there is it waits to be woken,
and looks again. Replay and live are one path: from the transcript up to a frame of the running
turn's window, from there on in the window, and back to the transcript for whoever falls behind.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from attrs import define, field

from qchat.errors import Overloaded, SessionNotFound, ValidationError
from qchat.model.event import Position
from qchat.model.frame import PING, Framer
from qchat.model.turn import Turn
from qchat.service.tail import Checkpoints, Place, Tail, replay

MAX_CACHED_CHECKPOINTS = 64


@define(eq=False)
class Channel:
    """What the readers of one session wait for."""

    tail: Tail | None = None
    queued: dict[int, int] = field(factory=dict)
    """The session's waiting turns, and the place of each."""
    readers: int = 0
    deleted: bool = False
    _waiting: set[asyncio.Future[bool]] = field(factory=set)

    @property
    def awaited(self) -> bool:
        return bool(self._waiting)

    def wake(self) -> None:
        for future in self._waiting:
            _settle(future, True)
        self._waiting.clear()

    async def changed(self, seconds: float) -> bool:
        """Wait for :meth:`wake`; false when nothing happened for so long."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _settle, future, False)
        self._waiting.add(future)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _settle(future: "asyncio.Future[bool]", value: bool) -> None:
    if not future.done():
        future.set_result(value)


@define(eq=False, kw_only=True)
class Feed:
    """``find`` gives a turn's row, ``transcript`` the path of its bytes."""

    find: Callable[[str, int], Turn | None]
    transcript: Callable[[str, int], Path]
    framer: Framer
    max_streams: int
    heartbeat: float
    streams: int = 0
    _channels: dict[str, Channel] = field(factory=dict)
    _checkpoints: OrderedDict[tuple[str, int], Checkpoints] = field(factory=OrderedDict)
    _closing: bool = False

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
        tail, channel.tail = channel.tail, None
        if tail is not None:
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
        self._closing = True
        for channel in self._channels.values():
            channel.wake()

    def watched(self) -> set[str]:
        """The sessions that have a stream open."""
        return {session_id for session_id, channel in self._channels.items() if channel.readers}

    # For readers

    def check(self, session_id: str, position: Position) -> Turn:
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
            end = channel.tail.parser.consumed if channel and channel.tail else 0
        if position.offset > end:
            raise ValidationError(f"id {position}: turn {turn.number} ends at {turn.number}-{end}")
        return turn

    def seen_whole(self, turn: Turn, position: Position) -> bool:
        """Whether nothing comes behind ``position``, now and for ever."""
        return turn.ending is not None and position.offset > turn.ending.bytes

    @contextmanager
    def stream(self, session_id: str) -> Iterator[None]:
        """Count a reader, for as long as it reads.

        :raises Overloaded: when too many streams are open.
        """
        if self.streams >= self.max_streams:
            raise Overloaded(limit=self.max_streams)
        self.streams += 1
        channel = self.channel(session_id)
        channel.readers += 1
        try:
            yield
        finally:
            self.streams -= 1
            channel.readers -= 1
            self._drop(session_id)

    async def session(self, session_id: str, after: Position | None) -> AsyncIterator[bytes]:
        """Batches of frames of a whole session behind ``after``, turn by turn, until it is deleted."""
        channel = self.channel(session_id)
        number = after.turn if after else 1
        while True:
            turn = self.find(session_id, number)
            if turn is not None:
                if after is None:
                    yield self.framer.begin(turn)
                async with aclosing(self.turn(session_id, after or Position(number, 0))) as batches:
                    async for batch in batches:
                        yield batch
                number, after = number + 1, None
            if channel.deleted or self._closing:
                if turn is None:  # else its own stream has said so
                    yield self._farewell(channel, session_id)
                return
            if turn is None and not await channel.changed(self.heartbeat):
                yield PING

    async def turn(self, session_id: str, after: Position) -> AsyncIterator[bytes]:
        """Batches of frames of one turn behind ``after``, up to its terminal event."""
        channel = self.channel(session_id)
        place: Place = (after.offset, after.nth)
        tail: Tail | None = None
        queued = 0
        while True:
            if channel.tail is not None and channel.tail.turn.number == after.turn:
                tail = channel.tail  # and it stays so when the turn ends: the window has the end, too
            if tail is not None:
                index = tail.index_after(place)
                if index is None:
                    for batch, place in self._replay(tail.turn, place, tail.boundary_after(place)):
                        yield batch
                    continue
                if index < tail.end:
                    batch, place = tail.since(index)
                    yield batch
                    continue
                if tail.ended:
                    return
            else:
                turn = self.find(session_id, after.turn)
                if turn is not None and turn.ending:
                    if place[0] <= turn.ending.bytes:
                        for batch, place in self._replay(turn, place, None):
                            yield batch
                        yield self.framer.ending(turn)
                    return
                if queued != (queued := channel.queued.get(after.turn, 0)) and queued:
                    yield self.framer.queued(after.turn, queued)
            if channel.deleted or self._closing:
                yield self._farewell(channel, session_id)
                return
            if not await channel.changed(self.heartbeat):
                yield PING

    def _replay(self, turn: Turn, after: Place, until: Place | None) -> Iterator[tuple[bytes, Place]]:
        channel = self._channels.get(turn.session_id)
        if channel and channel.tail and channel.tail.turn.number == turn.number:
            checkpoints = channel.tail.checkpoints
        else:
            checkpoints = self._remember(turn, None)
        return replay(
            self.transcript(turn.session_id, turn.number), checkpoints, self.framer, turn, after, until
        )

    def _remember(self, turn: Turn, checkpoints: Checkpoints | None) -> Checkpoints:
        """The checkpoints of a turn that has ended; those of the turns read last are kept."""
        key = (turn.session_id, turn.number)
        found = checkpoints or self._checkpoints.pop(key, None) or Checkpoints.of(turn)
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
