"""The event loop, and what keeps others in this process from holding it up.

A thread that lists, counts or packs files shares the interpreter with the loop, and each of the loop's
system calls would give it away. Nor does the loop get it back soon. The thread lets go of it at each of its
own system calls, and has it again before the loop, which hears of that, has woken up; and it is made to let
go only after an interval in which the loop hears nothing. So a thread asks between its steps whether the
loop, or the kernel for the loop, has something to do, and waits until that is over.

Collecting garbage stops everybody for as long as there are objects to look at. So all that the service has
made for good is left out, and the rest is collected in full once a minute, instead of whenever something
large is being made.
"""

import asyncio
import gc
import select
import selectors
import sys
import time
from collections.abc import Coroutine

from attrs import define

SWITCH_SECONDS = 0.0001
"""How long a thread keeps the interpreter when another wants it; Python's default is 5 ms."""
STEP_SECONDS = 0.00005
"""How long a thread goes on until it asks again."""
PAUSE_SECONDS = 0.0002
PATIENCE_SECONDS, GRANTED_SECONDS = 0.005, 0.002
"""After so long threads go on all the same, for so long, however busy the loop is."""
COLLECT_SECONDS = 60.0
NEVER = 1_000_000_000


@define
class _Loop:
    fd: int = -1
    """Readable when something has happened that it waits for; -1 without a loop."""
    busy: bool = False
    """Whether it has something to do already."""
    threads_until: float = 0.0
    """Until when threads go on all the same, by the monotonic clock."""


_loop = _Loop()


class _Selector(selectors.DefaultSelector):
    """Tells threads when the loop waits."""

    def __init__(self) -> None:
        super().__init__()
        _loop.fd = self.fileno()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        _loop.busy = timeout is not None and timeout <= 0
        try:
            return super().select(timeout)
        finally:
            _loop.busy = True

    def close(self) -> None:
        _loop.fd, _loop.busy = -1, False
        super().close()


def run(main: Coroutine[None, None, None]) -> None:
    """Run the service, like :func:`asyncio.run`."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector())) as runner:
        runner.run(main)


def give_way() -> None:
    """Wait until the loop waits; for threads that work for long, between two short steps."""
    began = now = time.monotonic()
    if now < _loop.threads_until:
        return
    granted = STEP_SECONDS
    while _is_wanted():
        if now - began > PATIENCE_SECONDS:
            granted = GRANTED_SECONDS
            break
        time.sleep(PAUSE_SECONDS)
        now = time.monotonic()
        if now < _loop.threads_until:  # another thread was granted it
            return
    _loop.threads_until = max(_loop.threads_until, now + granted)


def _is_wanted() -> bool:
    """Whether the loop needs the interpreter; a timer that is due is not seen."""
    fd = _loop.fd  # closing the loop changes it
    if _loop.busy or fd < 0:
        return _loop.busy
    events = select.poll()
    events.register(fd, select.POLLIN)
    return bool(events.poll(0))


async def collect_garbage() -> None:
    """In full, once a minute, for as long as the service lives."""
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()
