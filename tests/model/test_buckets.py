"""Token buckets against the plain rule that they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from qchat.model.buckets import Buckets

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=60)


@given(STEPS, st.integers(1, 5), st.integers(1, 30))
def test_never_more_than_allowed(steps: list[tuple[str, int]], size: int, seconds: int) -> None:
    """Within any span of time no key does more than the size and what came back in that time."""
    buckets, now = Buckets(size=size, seconds=seconds), 0.0
    done: dict[str, list[float]] = {}
    for key, pause in steps:
        now += pause
        wait = buckets.wait(key, now)
        if wait == 0:
            buckets.take(key, now)
            done.setdefault(key, []).append(now)
        else:
            assert buckets.wait(key, now + wait + 1e-6) == 0
    for times in done.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= size + (end - start) * size / seconds + 1e-6


def test_bounded() -> None:
    """Only so many keys are remembered; the one that was quiet for longest is forgotten."""
    buckets = Buckets(size=1, seconds=60, most=3)
    for key in "abcad":
        buckets.take(key, 0)
    assert {key: bool(buckets.wait(key, 0)) for key in "abcd"} == {
        "a": True,
        "b": False,
        "c": True,
        "d": True,
    }
