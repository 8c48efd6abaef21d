"""What the measurements share: a place to work in, streams in steady state, and medians with their spread."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import field, frozen

from benchmarks.load import Client, quantile
from benchmarks.serving import Server, start

WARM_UP = 1.5
"""Seconds from the first chunk of the last stream until counting begins: starting has its own figure."""
MARGIN = 3.0


@frozen
class Row:
    """One line of the report."""

    what: str
    target: str
    reached: str
    met: bool | None = None
    rest: str = ""
    """Where the rest goes."""


@frozen(kw_only=True)
class Bench:
    """Where to work, with what, and how thoroughly."""

    directory: Path
    program: Path
    rounds: int
    quick: bool
    rows: list[Row] = field(factory=list)
    plots: dict[str, str] = field(factory=dict)

    def scaled(self, number: int, quick: int) -> int:
        """``number``, or the other one when it only matters that everything works."""
        return quick if self.quick else number

    def add(self, what: str, target: str, reached: str, met: bool | None = None, rest: str = "") -> None:
        """Put a line into the report, and show it at once."""
        self.rows.append(Row(what, target, reached, met, rest))
        print(
            f"{'' if met is None else 'ok  ' if met else 'MISS'} {what}: {reached} (target {target})",
            flush=True,
        )

    @contextmanager
    def servers(self, *kinds: str, **more: str) -> Iterator[dict[str, Server]]:
        """Servers side by side, each in a directory of its own; ``qchat-full`` has the whole sandbox."""
        with ExitStack() as stack:
            found = {}
            for kind in kinds:
                base = self.directory / f"{kind}-{time.monotonic_ns()}"
                base.mkdir()
                options = {**more, "QCHAT_SANDBOX": "auto"} if kind == "qchat-full" else more
                found[kind] = start(kind, self.program, base, **options)
                stack.callback(found[kind].stop)
            yield found


@frozen
class Steady:
    """What streams in steady state cost."""

    cpu: float
    """Microseconds of processor time a chunk, of the server and its helpers."""
    p50: float
    """Milliseconds from the program's write to the client's read."""
    p99: float


def steady(server: Server, streams: int, rate: int, seconds: float) -> Steady:
    """Run ``streams`` at ``rate`` chunks a second of 64 bytes each."""
    client = Client()
    try:
        for _ in range(streams):
            client.open(server.port, server.prompt(int((seconds + MARGIN) * rate), rate))
        client.read(lambda: all(stream.chunks for stream in client.streams))
        client.read_for(WARM_UP)
        cpu, p50, p99 = counted(server, client, seconds)
        client.read_all()
        return Steady(cpu, p50, p99)
    finally:
        client.close()


def counted(server: Server, client: Client, seconds: float) -> tuple[float, float, float]:
    """(µs of processor time a chunk, p50, p99 of the latency in ms) of what runs, for so long."""
    for stream in client.streams:
        stream.latencies = []
    before, chunks = server.cpu(), client.chunks
    client.read_for(seconds)
    used, count = server.cpu() - before, client.chunks - chunks
    p50, p99 = latencies(client)
    return used / max(count, 1) * 1e6, p50, p99


def latencies(client: Client) -> tuple[float, float]:
    """p50 and p99 in milliseconds of what has been collected; collecting ends."""
    found = [value / 1e6 for stream in client.streams for value in stream.latencies or ()]
    for stream in client.streams:
        stream.latencies = None
    return (quantile(found, 0.5), quantile(found, 0.99)) if found else (0.0, 0.0)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and between what the rounds lay."""
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(values, to, strict=True)]


def machine() -> str:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    load = os.getloadavg()[0]
    alone = ", scheduled before everything else" if os.sched_getscheduler(0) != os.SCHED_OTHER else ""
    return (
        f"{os.cpu_count()} x {model.strip()}, Python {'.'.join(map(str, sys.version_info[:3]))},"
        f" commit {commit or 'unknown'}, load before the run {load:.1f}{alone}"
    )
