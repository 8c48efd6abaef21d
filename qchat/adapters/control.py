"""The control socket: how the operator's tool asks a running service to change things.

HTTP with JSON over ``.qchat/control.sock``, which only the service's user can open. A socket's path is
at most 108 bytes long, a base directory's can be longer, so both ends name the socket by way of a
descriptor of its directory.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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


@define(eq=False)
class Control:
    """The tool's end."""

    _path: Path

    @classmethod
    def connect(cls, state: StateDir) -> Self | None:
        """None when nobody listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(CONNECT_SECONDS)
            try:
                with _short_path(state.control_socket) as short:
                    sock.connect(short)
            except OSError:
                return None
        return cls(state.control_socket)

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
        # Imported here: aiohttp takes a quarter of a second, and most commands ask no service.
        import aiohttp  # noqa: PLC0415  # as said above

        from qchat.client import ApiError, ClientError  # noqa: PLC0415  # imports aiohttp
        from qchat.client.transport import Transport  # noqa: PLC0415  # likewise

        async def ask() -> dict[str, Any]:
            with _short_path(self._path) as short:
                async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(short)) as http:
                    service = Transport(
                        http=http,
                        base_url="http://qchat-control",
                        token=None,
                        patience=0,
                        silence=ANSWER_SECONDS,
                    )
                    return await service.json(method, path, json=body)

        try:
            # In a thread, because the tool's engine may be used where a loop runs already.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(lambda: asyncio.run(ask())).result()
        except ApiError as error:
            raise ControlError(f"the running server refused: {error}") from error
        except (ClientError, OSError) as error:
            raise ControlError(f"the running server did not answer ({error})") from error


@contextmanager
def ownership(state: StateDir, wait: float = OWNER_WAIT) -> Iterator[Control | None]:
    """Who may change things: a running service, by its control socket, or (None) we, who hold the lock.

    :raises AlreadyRunning: when neither can be had, such as while another tool is at work.
    """
    deadline = time.monotonic() + wait
    while True:
        if (control := Control.connect(state)) is not None:
            yield control
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
