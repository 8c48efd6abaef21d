"""What the readers of one session wait for."""

import asyncio

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
