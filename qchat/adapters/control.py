"""The control socket: how the operator's tool asks a running service to change things.

HTTP with JSON over ``.qchat/control.sock``, which only the service's user can open. A socket's path is
at most 108 bytes long, a base directory's can be longer, so both ends name the socket by way of a
descriptor of its directory.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from attrs import define

from qchat.adapters import switch
from qchat.adapters.statedir import AlreadyRunning, StateDir
from qchat.model.cleanup import Cleaned, Rule

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 600.0
"""A batch of directories can hold any number of files."""
OWNER_WAIT = 10.0
"""How long a service that starts or stops, or another tool, is waited for."""


class ControlError(Exception):
    """The running service did not do what it was asked; the text says why."""


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def bind(path: Path) -> socket.socket:
    """The service's end, bound; call it with the lock held: a socket that is there is nobody's.

    :raises OSError: when the file system has no sockets.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(path) as short:
            with suppress(FileNotFoundError):
                os.unlink(short)
            sock.bind(short)
            os.chmod(short, 0o600)  # its directory has been closed to others all the time
    except BaseException:
        sock.close()
        raise
    return sock


def unbind(path: Path) -> None:
    """Take the socket away, so that nobody connects to one that nobody reads."""
    with suppress(OSError), _short_path(path) as short:
        os.unlink(short)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("qchat-control", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with _short_path(self._path) as short:
            self.sock.connect(short)
        self.sock.settimeout(ANSWER_SECONDS)


@define(eq=False)
class Control:
    """The tool's end."""

    _connection: _Connection

    @classmethod
    def connect(cls, state: StateDir) -> Self | None:
        """None when nobody listens."""
        connection = _Connection(state.control_socket)
        try:
            connection.connect()
        except OSError:
            connection.close()
            return None
        return cls(connection)

    def close(self) -> None:
        self._connection.close()

    def status(self) -> dict[str, Any]:
        """What the service says of itself; see :mod:`qchat.web.control`.

        :raises ControlError:
        """
        return self._ask("GET", "/status")

    def clean(self, rule: Rule, sessions: Sequence[str]) -> Cleaned:
        """Have directories looked at again and removed.

        :raises ControlError:
        """
        asked = {"kind": rule.kind, "hours": rule.hours, "sessions": list(sessions)}
        answer = self._ask("POST", "/cleanup", asked)
        return Cleaned(
            removed=tuple(answer["removed"]),
            kept=tuple(answer["kept"].items()),
            failed=tuple(answer["failed"].items()),
        )

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body) if body else None, headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise ControlError(
                f"the running server did not answer ({error or type(error).__name__})"
            ) from error
        if response.status != 200 or not isinstance(answer, dict):
            raise ControlError(f"the running server refused: {answer}")
        return answer


@contextmanager
def ownership(state: StateDir, wait: float = OWNER_WAIT) -> Iterator[Control | None]:
    """Who may change things: a running service, by its control socket, or (None) we, who hold the lock.

    :raises AlreadyRunning: when neither can be had, such as while another tool is at work.
    """
    deadline = time.monotonic() + wait
    while True:
        if (control := Control.connect(state)) is not None:
            try:
                yield control
            finally:
                control.close()
            return
        try:
            StateDir.open(state.base)  # makes what an older version did not have
            state.lock(wait=0)
        except AlreadyRunning:  # a service that starts or stops has the lock, but not the socket
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        try:
            switch.complete(state)
            yield None
        finally:
            state.unlock()
        return
