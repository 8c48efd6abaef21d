"""The client: one thread, one epoll, raw sockets. It looks for the stamps of chunks, and parses nothing."""

import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterable

from attrs import define, field

STAMP = re.compile(rb"<([0-9a-f]{16})>")
STAMP_BYTES = 18
END = re.compile(rb'"type": "(done|error)"')
HEAD_BYTES = 65536


@define(eq=False)
class Stream:
    """One response that is being read. Times are CLOCK_MONOTONIC in nanoseconds."""

    sock: socket.socket
    sent: int
    chunks: int = 0
    size: int = 0
    first: int = 0
    """When the first chunk was there."""
    last: int = 0
    """When the last one was written."""
    ended: int = 0
    latencies: list[int] | None = None
    """From the program's write to this client's read, for as long as it is a list."""
    tail: bytes = b""
    """What came last."""
    _held: bytes = b""
    _head: bytes = field(default=b"")

    def fileno(self) -> int:
        return self.sock.fileno()

    def take(self, data: bytes, now: int) -> None:
        if len(self._head) < HEAD_BYTES and b"\r\n\r\n" not in self._head:
            self._head += data
            if b"\r\n\r\n" in self._head and b" 200 " not in self._head.split(b"\r\n", 1)[0]:
                raise RuntimeError(self._head.decode(errors="replace")[:1000])
        self.size += len(data)
        self.tail = data
        data = self._held + data
        stop = 0
        for found in STAMP.finditer(data):
            stop = found.end()
            self.chunks += 1
            if self.latencies is not None:
                self.latencies.append(now - int(found[1], 16))
        if stop:
            self.first = self.first or now
            self.last = int(found[1], 16)
        if END.search(data, stop):
            self.ended = now
        # What may be the beginning of a stamp, or of the end.
        self._held = data[max(stop, len(data) - STAMP_BYTES) :]


def request(port: int, method: str, path: str, body: object = None, headers: str = "") -> bytes:
    """A whole HTTP request."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def call(port: int, method: str, path: str, body: object = None, status: int = 200) -> dict[str, object]:
    """One request with a JSON answer, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request(port, method, path, body, "Connection: close\r\n"))
        data = b""
        while more := sock.recv(1 << 20):
            data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, data[:2000]
    found: dict[str, object] = json.loads(rest)
    return found


@define(eq=False)
class Client:
    """All streams of one measurement."""

    streams: list[Stream] = field(factory=list)
    _epoll: select.epoll = field(factory=select.epoll)
    _by_fd: dict[int, Stream] = field(factory=dict)

    def open(self, port: int, data: bytes) -> Stream:
        """Send a request; its response is read by :meth:`read`."""
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = time.monotonic_ns()
        sock.sendall(data)
        sock.setblocking(False)
        stream = Stream(sock, sent)
        self.streams.append(stream)
        self._by_fd[sock.fileno()] = stream
        self._epoll.register(sock, select.EPOLLIN)
        return stream

    def read(self, until: Callable[[], bool], seconds: float = 120.0) -> None:
        """Read all streams until ``until`` says so.

        :raises TimeoutError: when it has not after so long.
        """
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sum(bool(s.ended) for s in self.streams)} of {len(self.streams)} ended")
            for fd, _ in self._epoll.poll(0.05):
                stream = self._by_fd[fd]
                try:
                    data = stream.sock.recv(1 << 18)
                except BlockingIOError:
                    continue
                if data:
                    stream.take(data, time.monotonic_ns())
                else:
                    self._epoll.unregister(fd)
                    stream.ended = stream.ended or time.monotonic_ns()

    def read_for(self, seconds: float) -> None:
        stop = time.monotonic() + seconds
        self.read(lambda: time.monotonic() >= stop)

    def read_all(self) -> None:
        """Read until every stream has ended."""
        self.read(lambda: all(stream.ended for stream in self.streams))

    @property
    def chunks(self) -> int:
        return sum(stream.chunks for stream in self.streams)

    def close(self) -> None:
        for stream in self.streams:
            stream.sock.close()
        self._epoll.close()


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
