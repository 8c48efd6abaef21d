# ruff: noqa: ARG002 - an observer is told more than each needs
"""Metrics for Prometheus. What others count is read when somebody asks; nothing is done per chunk."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from attrs import define, field
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import qchat
from qchat.adapters.report import Level
from qchat.model.turn import Reason, Turn

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
LOOP_SECONDS = 1.0
"""How often the event loop is asked how late it is."""
Read = Callable[[], float]


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


@define(eq=False)
class Metrics(Collector):
    """The metrics of one service."""

    registry: CollectorRegistry = field(factory=_registry)
    turns: Counter = field(init=False)
    output: Counter = field(init=False)
    expired: Counter = field(init=False)
    sweeps: Counter = field(init=False)
    first_bytes: Histogram = field(init=False)
    seconds: Histogram = field(init=False)
    spawns: Histogram = field(init=False)
    commits: Histogram = field(init=False)
    lag: Histogram = field(init=False)
    _gauges: Mapping[str, tuple[str, Read]] = field(init=False, factory=dict)
    _counters: Mapping[str, tuple[str, Read]] = field(init=False, factory=dict)
    _level: Callable[[], Level] = field(init=False, default=lambda: "none")

    def __attrs_post_init__(self) -> None:
        to = self.registry
        self.turns = Counter("qchat_turns", "turns that ended", ["reason"], registry=to)
        for reason in get_args(Reason):
            self.turns.labels(reason)  # there from the start, so that a rate has a beginning
        self.output = Counter("qchat_output_bytes", "bytes that agents wrote", registry=to)
        self.expired = Counter("qchat_sessions_expired", "sessions that expired", registry=to)
        self.sweeps = Counter("qchat_sweeps", "looks for sessions that expire", registry=to)
        self.first_bytes = Histogram(
            "qchat_turn_first_byte_seconds", "from submission to first byte", registry=to, buckets=SLOW
        )
        self.seconds = Histogram(
            "qchat_turn_seconds", "from submission to the end", registry=to, buckets=SLOW
        )
        self.spawns = Histogram("qchat_spawn_seconds", "to start an agent", registry=to, buckets=FAST)
        self.commits = Histogram(
            "qchat_database_commit_seconds", "of a group of writes", registry=to, buckets=FAST
        )
        self.lag = Histogram(
            "qchat_event_loop_lag_seconds", "how late the event loop is", registry=to, buckets=FAST
        )
        Info("qchat_build", "what runs", registry=to).info({"version": qchat.__version__})

    def watch(
        self,
        *,
        gauges: Mapping[str, tuple[str, Read]],
        counters: Mapping[str, tuple[str, Read]],
        level: Callable[[], Level],
    ) -> None:
        """Read these whenever somebody asks: (meaning, how to read it) by name."""
        self._gauges, self._counters, self._level = gauges, counters, level
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        for name, (meaning, read) in self._gauges.items():
            yield GaugeMetricFamily(name, meaning, value=read())
        for name, (meaning, read) in self._counters.items():
            yield CounterMetricFamily(name, meaning, value=read())
        levels = GaugeMetricFamily("qchat_sandbox_level", "1 for the level in force", labels=["level"])
        for level in get_args(Level):
            levels.add_metric([level], level == self._level())
        yield levels

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    # Told by the service: see qchat.service.observer

    def submitted(self, turn: Turn) -> None:
        pass

    def spawned(self, turn: Turn, seconds: float) -> None:
        self.spawns.observe(seconds)

    def first_byte(self, turn: Turn) -> None:
        self.first_bytes.observe(max(0.0, time.time() - turn.created))

    def ended(self, turn: Turn) -> None:
        assert turn.ending is not None
        self.turns.labels(turn.ending.reason).inc()
        self.output.inc(turn.ending.bytes)
        if turn.started is not None:
            self.seconds.observe(max(0.0, turn.ending.ended - turn.created))

    def swept(self, expired: int) -> None:
        self.sweeps.inc()
        self.expired.inc(expired)

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, for as long as the service lives."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOP_SECONDS
            await asyncio.sleep(LOOP_SECONDS)
            self.lag.observe(max(0.0, loop.time() - due))
