"""The event loop, and what keeps others in this process from holding it up.

A thread that lists, counts or packs files shares the interpreter with the loop, and each of the loop's
system calls would give it away again. So such a thread asks before every step whether the loop has
something to do, and waits until it has not. And collecting garbage stops everybody for as long as there
are objects to look at: all that the service has made for good is left out, and the rest is collected in full
once a minute, instead of whenever something large is being made.
"""

import asyncio
import gc
import selectors
import sys
import time
from collections.abc import Coroutine

from attrs import define

SWITCH_SECONDS = 0.0001
"""How long a thread keeps the interpreter when another wants it; Python's default is 5 ms."""
PAUSE_SECONDS = 0.0002
PATIENCE_SECONDS, GRANTED_SECONDS = 0.005, 0.002
"""After so long threads go on all the same, for so long, however busy the loop is."""
COLLECT_SECONDS = 60.0
NEVER = 1_000_000_000


@define
class _Loop:
    busy: bool = False
    """Whether it has something to do."""
    threads_until: float = 0.0
    """Until when threads go on all the same, by the monotonic clock."""


_loop = _Loop()


class _Selector(selectors.DefaultSelector):
    """Knows when the loop waits."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        _loop.busy = timeout is not None and timeout <= 0
        try:
            return super().select(timeout)
        finally:
            _loop.busy = True

    def close(self) -> None:
        super().close()
        _loop.busy = False


def run(main: Coroutine[None, None, None]) -> None:
    """Run the service, like :func:`asyncio.run`."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector())) as runner:
        runner.run(main)


def give_way() -> None:
    """Wait until the loop waits; for threads that work for long, between two short steps."""
    if not _loop.busy:
        return
    began = now = time.monotonic()
    while _loop.busy and now > _loop.threads_until:
        if now - began > PATIENCE_SECONDS:
            _loop.threads_until = now + GRANTED_SECONDS
        time.sleep(PAUSE_SECONDS)
        now = time.monotonic()


async def collect_garbage() -> None:
    """In full, once a minute, for as long as the service lives."""
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()
