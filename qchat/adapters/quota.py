"""What a session may take of the disk: counted again and again while its agent runs.

Counting cannot prevent; it finds out, within seconds, and the turn is ended then. One count runs at a
time, and counting takes a small share of one core, however large the trees are.
"""

import asyncio
import time
from collections.abc import Callable

from attrs import define, field, frozen

from qchat.adapters.workspace import Usage

SHARE = 0.05
"""Of a core, for each turn that is watched."""
PER_SECOND = 20
"""Counts of all turns together, at most: each takes the interpreter from the event loop a few dozen times."""


@frozen(kw_only=True)
class Quota:
    """What a session may take: ``bytes``, and ``entries`` (files, directories and what else has a name)."""

    bytes: int
    entries: int

    def exceeded_by(self, usage: Usage) -> bool:
        """Whether it is too much; a count that was cut short saw more entries than are allowed."""
        return not usage.complete or usage.bytes > self.bytes or usage.entries > self.entries


@define(eq=False, kw_only=True)
class Quotas:
    """Watches sessions for as long as their turns run."""

    quota: Quota
    pause: float = 1.0
    """Seconds between two counts, at least."""
    _watched: int = 0
    _one: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(1))

    async def exceeded(self, measure: Callable[[int], Usage]) -> Usage:
        """Return what a session takes as soon as that is too much; until then, count.

        ``measure`` counts, in a thread, up to the number of entries that it is given.
        """
        self._watched += 1
        try:
            while True:
                async with self._one:
                    began = time.monotonic()
                    usage = await asyncio.to_thread(measure, self.quota.entries + 1)
                    took = time.monotonic() - began
                if self.quota.exceeded_by(usage):
                    return usage
                await asyncio.sleep(max(self.pause, took / SHARE, self._watched / PER_SECOND))
        finally:
            self._watched -= 1
