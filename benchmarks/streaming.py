"""The rows about streams: processor time, latency, throughput, first byte, last byte, many readers."""

import os
import statistics
import subprocess
import time

from benchmarks.load import Client, quantile, request
from benchmarks.measure import MARGIN, WARM_UP, Bench, Steady, counted, ratios, spread, steady
from benchmarks.plot import bars
from benchmarks.serving import Server

SIDES = ("floor", "fastapi", "qchat", "qchat-q")
LOADS = ((200, 50), (50, 250))


def many_streams(bench: Bench) -> None:
    """Processor time a chunk, and latency, of many streams at once."""
    plotted: dict[str, dict[str, list[float]]] = {}
    for wanted, rate in LOADS:
        streams = bench.scaled(wanted, 4)
        found: dict[str, list[Steady]] = {side: [] for side in SIDES}
        with bench.servers(*SIDES) as servers:
            for _ in range(bench.rounds):
                for side, server in servers.items():
                    found[side].append(steady(server, streams, rate, bench.scaled(3, 1)))
        cpu = {side: [one.cpu for one in rounds] for side, rounds in found.items()}
        name = f"{streams} x {rate}/s"
        plotted[name] = cpu
        times = ratios(cpu["qchat"], cpu["floor"])
        against = ratios(cpu["qchat"], cpu["fastapi"])
        bench.add(
            f"server CPU per chunk, {name} x 64 bytes",
            "1.2 x the floor, below FastAPI",
            f"{spread(times, 2)} x the floor, {spread(against, 2)} x FastAPI: "
            + ", ".join(f"{side} {spread(values)}" for side, values in cpu.items())
            + " µs",
            statistics.median(times) <= 1.2 and statistics.median(against) < 1,
            "the transcript (a write and SHA-256), the parser and the frame",
        )
        if wanted == 200:
            _latency(bench, name, found)
    bench.plots["cpu"] = bars("Server CPU per chunk of 64 bytes", "µs", plotted)


def _latency(bench: Bench, name: str, found: dict[str, list[Steady]]) -> None:
    p50 = {side: [one.p50 for one in rounds] for side, rounds in found.items()}
    p99 = {side: [one.p99 for one in rounds] for side, rounds in found.items()}
    half, most = ratios(p50["qchat"], p50["floor"]), ratios(p99["qchat"], p99["floor"])
    bench.add(
        f"chunk latency p50 / p99, {name}",
        "1.2 x the floor's",
        f"{spread(half, 2)} / {spread(most, 2)} x: "
        + ", ".join(f"{side} {spread(p50[side], 2)} / {spread(p99[side], 1)}" for side in SIDES)
        + " ms",
        statistics.median(half) <= 1.2 and statistics.median(most) <= 1.2,
        "what is under CPU; the p99 is a queue, for the loop is busy most of the time",
    )
    bench.plots["latency"] = bars("Latency of a chunk, " + name, "ms", {"p50": p50, "p99": p99})


def flat_out(bench: Bench) -> None:
    """One stream, as fast as it goes."""
    chunks = bench.scaled(1600, 40)
    speed: dict[str, list[float]] = {side: [] for side in SIDES}
    with bench.servers(*SIDES) as servers:
        for _ in range(bench.rounds):
            for side, server in servers.items():
                client = Client()
                stream = client.open(server.port, server.prompt(chunks, 0, 65536))
                client.read_all()
                client.close()
                speed[side].append(chunks * 65536 / (stream.ended - stream.first) * 1e3)
    times = ratios(speed["qchat"], speed["floor"])
    bench.add(
        "one stream flat out",
        "0.6 x the floor's MB/s",
        f"{spread(times, 2)} x: "
        + ", ".join(f"{side} {spread(v, 0)}" for side, v in speed.items())
        + " MB/s",
        statistics.median(times) >= 0.6,
        "SHA-256, the transcript's write, and the encoding of the frame",
    )
    bench.plots["flat-out"] = bars("One stream flat out", "MB/s", {"one stream": speed})


def short_turns(bench: Bench) -> None:
    """From the request to the first byte, and from the program's last write to the end of the stream."""
    count = bench.scaled(100, 5)
    sides = ("bare", "floor", "qchat", "qchat-full")
    first: dict[str, list[float]] = {side: [] for side in sides}
    end: dict[str, list[float]] = {side: [] for side in sides[1:]}
    with bench.servers(*sides[1:]) as servers:
        sessions = {side: server.session() for side, server in servers.items() if server.own}
        for _ in range(count):
            first["bare"].append(_bare(bench))
            for side, server in servers.items():
                begun, ended = _turn(server, sessions.get(side, ""))
                first[side].append(begun)
                end[side].append(ended)
    p50 = {side: statistics.median(values) for side, values in first.items()}
    for side, target in (("qchat", 3.0), ("qchat-full", 12.0)):
        added = p50[side] - p50["bare"]
        bench.add(
            f"first byte over the bare CLI, {'full sandbox' if side == 'qchat-full' else 'no sandbox'}",
            f"+ {target:.0f} ms p50",
            f"+ {added:.1f} ms (bare {p50['bare']:.1f}, floor {p50['floor']:.1f}, here {p50[side]:.1f})",
            added <= target,
            "committing the turn (an fsync) before it starts"
            + (", and bubblewrap" if side == "qchat-full" else ", two changes of process and a fork"),
        )
    half, most = statistics.median(end["qchat"]), quantile(end["qchat"], 0.99)
    bench.add(
        "process exit to done at the client, p50 / p99",
        "5 ms / 20 ms",
        f"{half:.1f} / {most:.1f} ms (floor {statistics.median(end['floor']):.1f} /"
        f" {quantile(end['floor'], 0.99):.1f}; full sandbox {statistics.median(end['qchat-full']):.1f})",
        half <= 5 and most <= 20,
        "committing the ending (an fsync) before it is told",
    )
    bench.plots["first-byte"] = bars("From the request to the first byte", "ms", {"first byte": first})


def _bare(bench: Bench) -> float:
    began = time.monotonic_ns()
    with subprocess.Popen([bench.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"1 0 64")
        process.stdin.close()
        os.read(process.stdout.fileno(), 100)
        return (time.monotonic_ns() - began) / 1e6


def _turn(server: Server, session: str) -> tuple[float, float]:
    client = Client()
    data = server.prompt(1, 0)
    if session:
        body = {"message": "1 0 64", "session_id": session}
        data = request(server.port, "POST", "/api/v1/chat/stream", body)
    stream = client.open(server.port, data)
    client.read_all()
    client.close()
    return (stream.first - stream.sent) / 1e6, (stream.ended - stream.last) / 1e6


def many_readers(bench: Bench) -> None:
    """One turn that many read, against as many streams of the floor, and against a single one."""
    readers, rate, seconds = bench.scaled(100, 3), 50, bench.scaled(3, 1)
    found: dict[str, list[float]] = {"floor, one": [], "floor, as many": [], "qchat": []}
    with bench.servers("floor", "qchat") as servers:
        for _ in range(bench.rounds):
            found["floor, one"].append(steady(servers["floor"], 1, rate, seconds).cpu)
            found["floor, as many"].append(steady(servers["floor"], readers, rate, seconds).cpu)
            found["qchat"].append(_shared(servers["qchat"], readers, rate, seconds))
    times = ratios(found["qchat"], found["floor, one"])
    bench.add(
        f"{readers} readers of one turn, CPU per delivered frame",
        "1.1 x the floor's single reader",
        f"{spread(times, 2)} x ({spread(ratios(found['qchat'], found['floor, as many']), 2)} x the floor with"
        f" {readers} streams): " + ", ".join(f"{name} {spread(v)}" for name, v in found.items()) + " µs",
        statistics.median(times) <= 1.1,
        "one system call a reader",
    )


def _shared(server: Server, readers: int, rate: int, seconds: float) -> float:
    events = server.turn(server.session(), int((seconds + MARGIN) * rate), rate)
    client = Client()
    try:
        for _ in range(readers):
            client.open(server.port, request(server.port, "GET", events))
        client.read(lambda: all(stream.chunks for stream in client.streams))
        client.read_for(WARM_UP)
        cpu, _, _ = counted(server, client, seconds)
        client.read_all()
        return cpu
    finally:
        client.close()
