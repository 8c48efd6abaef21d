"""Idle time, counted while the service runs, by a clock that never jumps."""

import time
from collections.abc import Callable

from attrs import define, field


@define(eq=False)
class IdleClock:
    """A session's row holds the idle time that had been counted at the last sweep.

    Each sweep adds what has passed since the one before. Activity between two sweeps therefore
    writes a number below zero: minus what has passed since the last sweep, so that the next one
    brings it to the time since the activity. Down time and changes of the wall clock count nothing.
    """

    monotonic: Callable[[], float] = time.monotonic
    _last_sweep: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._last_sweep = self.monotonic()

    def now(self) -> float:
        """What to write for activity at this moment."""
        return self._last_sweep - self.monotonic()

    def sweep(self) -> float:
        """The seconds that have passed since the last sweep; the next one begins here."""
        now = self.monotonic()
        passed, self._last_sweep = now - self._last_sweep, now
        return passed
