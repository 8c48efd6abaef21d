"""What the readers of a session wait for: one channel a session, one waiter a reader."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing

from attrs import define, field

from qchat.service.tail import Tail


@define(eq=False)
class Channel:
    """What the readers of one session wait for."""

    tail: Tail | None = None
    queued: dict[int, int] = field(factory=dict)
    """The session's waiting turns, and the place of each."""
    readers: int = 0
    deleted: bool = False
    _waiting: "set[Waiter]" = field(factory=set)

    @property
    def awaited(self) -> bool:
        return bool(self._waiting)

    def wake(self) -> None:
        for waiter in [*self._waiting]:
            waiter.wake()

    async def changed(self, seconds: float) -> bool:
        """Wait for :meth:`wake`; false when nothing happened for so long."""
        with closing(Waiter(self, seconds)) as waiter:
            return await waiter.changed()

    def add(self, waiter: "Waiter") -> None:
        self._waiting.add(waiter)

    def discard(self, waiter: "Waiter") -> None:
        self._waiting.discard(waiter)


@define(eq=False)
class Waiter:
    """Waits for a channel again and again, up to ``seconds`` each time.

    Its timer is looked at when it fires: making one for every wait would cost as much as sending a frame.
    """

    channel: Channel
    seconds: float
    push: Callable[[], bool] | None = None
    """Called when there is something new; true when that is dealt with, and the wait goes on."""
    _future: "asyncio.Future[bool] | None" = None
    _since: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    async def changed(self) -> bool:
        """Wait for :meth:`Channel.wake`; false when nothing happened for so long."""
        loop = asyncio.get_running_loop()
        self._since = time.monotonic()
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look)
        self._future = loop.create_future()
        self.channel.add(self)
        try:
            return await self._future
        finally:
            self.channel.discard(self)
            self._future = None

    def wake(self) -> None:
        if self._future is None or self._future.done():
            return
        if self.push is not None and self.push():
            self._since = time.monotonic()
        else:
            self._future.set_result(True)

    def _look(self) -> None:
        self._timer = None
        if self._future is None:  # busy; the next wait sets it again
            return
        loop = asyncio.get_running_loop()
        left = self._since + self.seconds - time.monotonic()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
        elif not self._future.done():
            self._future.set_result(False)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
