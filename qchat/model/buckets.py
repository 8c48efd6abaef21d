"""Token buckets: how often each of many clients may do something."""

from collections import OrderedDict

from attrs import define, field

MOST_KEYS = 10_000


@define(eq=False, kw_only=True)
class Buckets:
    """Every key may do something ``size`` times at once, and as often again in each ``seconds``.

    Pure: who calls says what time it is, in seconds on a clock that does not jump. The number of keys
    is bounded; the one that was quiet for longest is forgotten first.
    """

    size: float
    seconds: float
    most: int = MOST_KEYS
    _levels: "OrderedDict[str, tuple[float, float]]" = field(factory=OrderedDict)

    def wait(self, key: str, now: float) -> float:
        """Seconds until ``key`` may do it again; 0 when it may at once."""
        missing = 1 - self._level(key, now)
        return max(0.0, missing * self.seconds / self.size)

    def take(self, key: str, now: float) -> None:
        """Note that ``key`` did it."""
        self._levels[key] = (max(0.0, self._level(key, now) - 1), now)
        self._levels.move_to_end(key)
        while len(self._levels) > self.most:
            self._levels.popitem(last=False)

    def _level(self, key: str, now: float) -> float:
        level, then = self._levels.get(key, (self.size, now))
        return min(self.size, level + (now - then) * self.size / self.seconds)
