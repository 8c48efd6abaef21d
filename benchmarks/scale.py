"""The rows about size: long transcripts, many sessions and files, long histories; and what runs beside it."""

import os
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.load import Client, Stream, call, request
from benchmarks.measure import WARM_UP, Bench, latencies, ratios, spread
from benchmarks.plot import lines
from benchmarks.serving import Server, serving

MB = 1_000_000
BLOCK = 65536
Work = Callable[[Callable[[], None]], object]
"""Does something large; calls its argument when it begins to."""
SETTLED_SECONDS = 0.05
"""After a turn: what is put away behind it is part of its cost."""
BESIDE = (20, 50)
"""Streams, and chunks a second of each, whose latency is watched while something large goes on."""
WINDOW_SECONDS = 0.25


def fetch(
    port: int, path: str, method: str = "GET", body: object = None, headers: str = ""
) -> tuple[int, float]:
    """(bytes, seconds) of a whole response, read as fast as it comes."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        began, total = time.monotonic(), 0
        sock.sendall(request(port, method, path, body, f"Connection: close\r\n{headers}"))
        room = bytearray(1 << 20)
        head = sock.recv(1 << 16)
        assert b" 20" in head.split(b"\r\n", 1)[0], head
        while got := sock.recv_into(room):
            total += got
        return total + len(head), time.monotonic() - began


def long_transcript(bench: Bench) -> None:
    """A transcript of 100 MB: as a file, as events, from anywhere, and what others notice of it."""
    blocks = bench.scaled(1526, 64)
    size = blocks * BLOCK
    base = bench.directory / "long"
    base.mkdir()
    with bench.servers("floor") as servers, serving("qchat", bench.program, base) as own:
        floor = servers["floor"]
        events = own.turn(own.session(), blocks, 0, BLOCK)
        fetch(own.port, events)
        output = events.replace("/events", "/output")
        raw, replayed, live = [], [], []
        for _ in range(bench.rounds):
            raw.append(_speed(*fetch(own.port, output)))
            client = Client()
            stream = client.open(floor.port, floor.prompt(blocks, 0, BLOCK))
            client.read_all()
            client.close()
            live.append(size / MB / ((stream.ended - stream.first) / 1e9))
            replayed.append(size / MB / fetch(own.port, events)[1])
        times = [one / other for one, other in zip(replayed, live, strict=True)]
        bench.add(
            "100 MB transcript, /output", "200 MB/s", f"{spread(raw, 0)} MB/s", statistics.median(raw) >= 200
        )
        bench.add(
            "100 MB transcript as events",
            "0.5 x the floor",
            f"{spread(times, 2)} x: {spread(replayed, 0)} MB/s, floor {spread(live, 0)}",
            statistics.median(times) >= 0.5,
            "the encoding of the frames, the client's reading",
        )
        _beside(
            bench,
            own,
            "p99 of other streams while it is replayed",
            _at_once(partial(fetch, own.port, events)),
            "slices of 16 KiB that the loop is busy with",
        )
        before = _resumes(own.port, events, size)
    with serving("qchat", bench.program, base) as again:
        after = _resumes(again.port, events, size)
    shutil.rmtree(base)
    bench.add(
        "a resume anywhere in it, slowest of 50; and after a restart",
        "50 ms",
        f"{max(before):.1f} ms; {max(after):.1f} ms"
        f" (p50 {statistics.median(before):.1f}; {statistics.median(after):.1f})",
        max(before + after) <= 50,
        "parsing from the checkpoint before it, 1 MiB at most",
    )


def _speed(count: int, seconds: float) -> float:
    return count / MB / seconds


def _has_event(stream: Stream) -> bool:
    return b"data: " in stream.tail


def _resumes(port: int, events: str, size: int) -> list[float]:
    """Milliseconds until the first frame, from places spread over the transcript, the last first."""
    found = []
    for number in range(50, 0, -1):
        client = Client()
        place = size * number // 51 + 7
        stream = client.open(port, request(port, "GET", f"{events}?after=1-{place}"))
        client.read(partial(_has_event, stream), 30)
        found.append((time.monotonic_ns() - stream.sent) / 1e6)
        client.close()
    return found


def _beside(bench: Bench, server: Server, what: str, work: Work, rest: str) -> None:
    """p99 of streams before and after ``work``, and while it is done."""
    streams, rate = (bench.scaled(BESIDE[0], 3), BESIDE[1])
    turns = [server.turn(server.session(), 1_000_000, rate) for _ in range(streams)]
    client = Client()
    begun, done = threading.Event(), threading.Event()

    def run() -> None:
        try:
            work(begun.set)
        finally:
            begun.set()
            done.set()

    def at_rest() -> list[float]:
        stop = time.monotonic() + bench.scaled(4, 1)
        return _p99s(client, lambda: time.monotonic() >= stop)

    try:
        for events in turns:
            client.open(server.port, request(server.port, "GET", events))
        client.read(lambda: all(stream.chunks for stream in client.streams))
        client.read_for(WARM_UP)
        quiet = at_rest()
        worker = threading.Thread(target=run)
        worker.start()
        client.read(begun.is_set)
        busy = _p99s(client, done.is_set)
        worker.join()
        client.read_for(WARM_UP)
        quiet += at_rest()
    finally:
        client.close()
        for events in turns:
            call(server.port, "POST", events.replace("/events", "/cancel"))
    times = statistics.median(busy) / statistics.median(quiet)
    bench.add(what, "2 x", f"{times:.1f} x: {spread(quiet, 2)} -> {spread(busy, 2)} ms", times <= 2, rest)


def _p99s(client: Client, over: Callable[[], bool]) -> list[float]:
    """p99 in ms of each window until ``over``. One bad moment of the machine spoils one of them."""
    found: list[float] = []
    while not (found and over()):
        for stream in client.streams:
            stream.latencies = []
        client.read_for(WINDOW_SECONDS)
        found.append(latencies(client)[1])
    return found


def _at_once(work: Callable[[], object]) -> Work:
    def run(begin: Callable[[], None]) -> None:
        with _elsewhere() as others:
            begin()
            others.submit(work).result()

    return run


@contextmanager
def _elsewhere() -> Iterator[Executor]:
    """A process: a thread would share the interpreter with those that measure latencies."""
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        pool.submit(int).result()  # it is there
        yield pool


def crowd(bench: Bench) -> None:
    """10,000 sessions and 1,000 idle readers; and a start with all that."""
    sessions, readers = bench.scaled(10_000, 50), bench.scaled(1000, 10)
    seconds = bench.scaled(20, 2)
    base = bench.directory / "crowd"
    base.mkdir()
    with serving("qchat", bench.program, base) as server:
        found = make_sessions(server, sessions)
        client = Client()
        for session in found[:readers]:
            client.open(server.port, request(server.port, "GET", f"/api/v1/sessions/{session}/events"))
        client.read_for(2)
        before = server.cpu()
        client.read_for(seconds)
        used = (server.cpu() - before) / seconds * 100
        memory = server.resident()
        client.close()
    bench.add(
        f"{readers} idle EventSources and {sessions} sessions",
        "150 MB, 1 % CPU",
        f"{memory:.0f} MB resident, {used:.2f} % CPU",
        memory <= 150 and used < 1,
        "heartbeats every 15 s",
    )
    times = []
    for _ in range(bench.rounds):
        with serving("qchat", bench.program, base) as server:
            times.append(server.seconds)
    bench.add(
        f"start with {sessions} sessions on disk",
        "1 s to listening",
        f"{spread(times, 2)} s",
        statistics.median(times) < 1,
        "Python and its imports; the names of the directories are compared with the rows",
    )


def make_sessions(server: Server, count: int) -> list[str]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: server.session(), range(count)))


def beside(bench: Bench) -> None:
    """What streams notice of a large listing, a sweep, an upload, an archive."""
    files, directories = bench.scaled(100_000, 200), bench.scaled(10_000, 20)
    megabytes = bench.scaled(1024, 4)
    base = bench.directory / "beside"
    base.mkdir()
    more = {"SESSION_EXPIRY": "60", "QCHAT_SESSION_FILES": "1000000"}
    with serving("qchat", bench.program, base, **more) as server:
        make_sessions(server, directories)
        session = server.session()
        call(server.port, "PATCH", f"/api/v1/sessions/{session}", {"pinned": True})
        workspace = base / "sessions" / session
        for number in range(files):
            if number % 1000 == 0:
                place = workspace / f"d{number // 1000}"
                place.mkdir()
            (place / f"f{number}").touch()
        path = f"/api/v1/sessions/{session}"
        port = server.port
        works: dict[str, Work] = {
            f"a sweep of {directories} directories": partial(_swept, base),
            f"a listing of {files} files": _at_once(partial(fetch, port, f"{path}/files")),
            f"an upload of {megabytes} MB": _at_once(
                partial(_upload, port, f"{path}/files/large", megabytes)
            ),
            "an archive of all that": _at_once(partial(fetch, port, f"{path}/archive")),
        }
        for what, work in works.items():
            _beside(
                bench,
                server,
                f"p99 of streams beside {what}",
                work,
                "threads and the loop share one interpreter",
            )


def _upload(port: int, path: str, megabytes: int) -> None:
    block = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {megabytes << 20}\r\n\r\n"
        sock.sendall(head.encode())
        for _ in range(megabytes):
            sock.sendall(block)
        assert b" 20" in sock.recv(4096).split(b"\r\n", 1)[0]


def _swept(base: Path, begin: Callable[[], None]) -> None:
    """Wait until the sessions that nobody uses expire, and until their directories are gone."""
    with _elsewhere() as others:
        others.submit(_wait_for_sweep, base / "sessions").result()
        begin()
        others.submit(_wait_for_its_end, base / "sessions").result()


def _wait_for_sweep(base: Path) -> None:
    before = len(os.listdir(base))
    while len(os.listdir(base)) >= before:
        time.sleep(0.2)


def _wait_for_its_end(base: Path) -> None:
    deadline = time.monotonic() + 200
    while len(os.listdir(base)) > BESIDE[0] + 5 or os.listdir(base / ".qchat" / "trash"):
        if time.monotonic() > deadline:
            raise TimeoutError("not swept")
        time.sleep(0.2)


def cost_against_size(bench: Bench) -> None:
    """Processor time of one short turn, with more and more turns before it, and sessions around it."""
    past = (1, 10, 100, bench.scaled(1000, 100))
    around = (10, 100, 1000, bench.scaled(10_000, 1000))
    with bench.servers("qchat") as servers:
        places = {size: (servers["qchat"], servers["qchat"].session()) for size in past}
        for size, (server, session) in places.items():
            for _ in range(size):
                _short_turn(server, session)
        curves = {"past turns": _curve(bench, "past turns", places)}
    with ExitStack() as stack:
        places = {}
        for size in around:
            server = stack.enter_context(bench.servers("qchat"))["qchat"]
            places[size] = (server, make_sessions(server, size)[-1])
        curves["sessions"] = _curve(bench, "sessions", places)
    bench.plots["size"] = lines("Server CPU of one short turn", "ms", "how many there are", curves)


def _curve(bench: Bench, name: str, places: dict[int, tuple[Server, str]]) -> list[tuple[float, float]]:
    """Interleaved, so that a machine that becomes slower does so for every size."""
    costs: dict[int, list[float]] = {size: [] for size in places}
    for _ in range(bench.scaled(20, 2)):
        for size, place in places.items():
            costs[size].append(_cost(*place))
    curve = [(float(size), statistics.median(values)) for size, values in costs.items()]
    fewest = costs[min(costs)]
    times = [statistics.median(ratios(values, fewest)) for values in costs.values()]
    bench.add(
        f"cost of a turn against {name}, {curve[0][0]:g} to {curve[-1][0]:g}",
        "flat",
        "; ".join(f"{size:g}: {cost:.1f} ms" for size, cost in curve) + f"; at most {max(times):.2f} x",
        max(times) <= 1.3,
    )
    return curve


def _short_turn(server: Server, session: str) -> None:
    client = Client()
    body = {"message": "1 0 64", "session_id": session}
    client.open(server.port, request(server.port, "POST", "/api/v1/chat/stream", body))
    client.read_all()
    client.close()


def _cost(server: Server, session: str) -> float:
    """Milliseconds a turn; the helpers' time is out of account, for theirs are gone when it ends."""
    before = server.own_cpu()
    _short_turn(server, session)
    time.sleep(SETTLED_SECONDS)
    return (server.own_cpu() - before) * 1e3
