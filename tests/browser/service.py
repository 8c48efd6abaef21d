"""A real service in a process of its own, and a way to it that can fail."""

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from attrs import define, field

from tests.harness import ROOT, environment


@define(eq=False)
class Service:
    """``with Service(base, log) as service``; it can be killed and started again at the same address."""

    base: Path
    log: Path
    port: int = 0
    variables: dict[str, str] = field(factory=dict)
    process: "subprocess.Popen[str] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGTERM)

    def start(self, **variables: str) -> None:
        self.variables |= variables
        env = environment(self.base, PORT=str(self.port), QCHAT_SHUTDOWN_GRACE="1", **self.variables)
        with open(self.log, "ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qchat"],
                env=env,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http" in line, self.log.read_text()
        self.port = int(line.rstrip().rpartition(":")[2])

    def end(self, number: int) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def workspace(self, session: str) -> Path:
        return self.base / session


BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\nConnection: close\r\n\r\nBad Gateway"


@define(eq=False)
class Proxy:
    """Passes connections on to ``upstream``, or answers each request with 502."""

    upstream: int
    mode: str = "pass"
    _listener: socket.socket = field(init=False)
    _wake: tuple[socket.socket, socket.socket] = field(init=False)
    _thread: threading.Thread = field(init=False)
    _pairs: dict[socket.socket, socket.socket] = field(factory=dict)
    _closing: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake[0].send(b"x")
        self._thread.join()
        for one in (self._listener, *self._wake):
            one.close()

    def switch(self, mode: str) -> None:
        """From now on; connections that are open are cut."""
        self.mode = mode
        self._wake[0].send(b"x")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._listener, self._wake[1]):
                selector.register(one, selectors.EVENT_READ)
            while not self._closing:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    self._ready(selector, key.fileobj)
            for one in list(self._pairs):
                self._cut(selector, one)

    def _ready(self, selector: selectors.BaseSelector, ready: socket.socket) -> None:
        if ready is self._wake[1]:
            ready.recv(100)
            for one in list(self._pairs):
                self._cut(selector, one)
        elif ready is self._listener:
            self._accept(selector, ready.accept()[0])
        elif ready in self._pairs:
            self._pass(selector, ready)

    def _accept(self, selector: selectors.BaseSelector, client: socket.socket) -> None:
        server = client  # browsers connect long before they ask, so a 502 waits for the request
        try:
            if self.mode == "pass":
                server = socket.create_connection(("127.0.0.1", self.upstream))
        except OSError:
            client.close()
            return
        for one, other in {client: server, server: client}.items():
            self._pairs[one] = other
            selector.register(one, selectors.EVENT_READ)

    def _pass(self, selector: selectors.BaseSelector, ready: socket.socket) -> None:
        other = self._pairs[ready]
        with contextlib.suppress(OSError):
            data = ready.recv(65536)
            if data and other is not ready:
                other.sendall(data)
                return
            if data:
                ready.sendall(BAD_GATEWAY)
        self._cut(selector, ready)

    def _cut(self, selector: selectors.BaseSelector, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for end in {one, other}:
            selector.unregister(end)
            end.close()
