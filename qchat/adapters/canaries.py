"""Sending a canary through the composition that turns will run in, and hearing what it found."""

import asyncio
import inspect
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from qchat.adapters import canary
from qchat.adapters.identity import Owner
from qchat.adapters.policy import Policy
from qchat.adapters.process import Launch, Process, Spawner, SpawnError, drain
from qchat.adapters.removal import remove_tree
from qchat.adapters.workspace import Workspace

SECONDS = 20.0
"""Until a canary that does not return counts as lost."""
_PLACE = "canary"

Compose = Callable[[Path, Path], AbstractContextManager[Launch]]
"""Workspace and home to the launch of an interpreter that reads its program from standard input."""


class Lost(Exception):
    """The canary did not come back: the composition does not work; the text is what was on stderr."""


@frozen
class _Cage:
    """Two sessions that look like any other, and a home."""

    mine: Path
    other: Path
    home: Path


async def release(
    policy: Policy, owner: Owner | None, limits: Mapping[str, int], spawner: Spawner, compose: Compose
) -> dict[str, str]:
    """Send a canary; what it found open, by name, with an empty text where it was contained.

    ``limits`` are the resource limits that it has to find itself under, by name.

    :raises Lost: when the composition cannot be started, or not be ended.
    """
    with ExitStack() as stack:
        try:
            cage = stack.enter_context(_cage(policy, owner))
        except OSError as error:
            raise Lost(f"{policy.base}: {error.strerror}") from None
        told: dict[str, Any] = {
            "pid": os.getpid(),
            "started": _started(),
            "base": str(policy.base),
            "other": str(cage.other),
            "state": str(policy.private),
            "elsewhere": ["/", "/etc", "/usr", str(policy.base), str(cage.other), str(policy.private)],
            "mark": f".qchat-{_PLACE}-{secrets.token_hex(8)}",
            "temporary": _temporary_file(stack),
            "limits": {**limits},
            **_listeners(policy, stack),
        }
        program = f"{inspect.getsource(canary)}\nmain({told!r})\n"
        try:
            launch = stack.enter_context(compose(cage.mine, cage.home))
        except OSError as error:
            raise Lost(str(error)) from None
        found = await _run(spawner, launch, program.encode())
        uid = (cage.mine / "owned").stat().st_uid
        found["root"] = "user 0" if uid == 0 else ""
        found["writing"] = _left(told["elsewhere"], told["mark"])
        return found


async def _run(spawner: Spawner, launch: Launch, program: bytes) -> dict[str, str]:
    process = spawner.spawn(launch, program)
    try:
        async with asyncio.timeout(SECONDS):
            await process.started
            await process.exited
            await process.cleared
    except SpawnError as error:
        raise Lost(_all(process.stderr)[0] or str(error)) from None
    except TimeoutError:
        raise Lost("it did not end in time") from None
    else:
        return _heard(process)
    finally:
        process.tell(b"KILL")
        process.close()


def _heard(process: Process) -> dict[str, str]:
    said, ended = _all(process.stdout)
    try:
        found: dict[str, str] = json.loads(said)
    except ValueError:
        raise Lost(_all(process.stderr)[0] or f"exit code {process.exited.result()}") from None
    # Everything that could write to it is dead, when the pipe is at its end.
    found["daemons"] = "" if ended else "a daemon"
    return found


def _all(fd: int) -> tuple[str, bool]:
    """What is in a pipe, and whether its end was reached."""
    found = bytearray()
    size = -1
    while len(found) > size:
        size = len(found)
        if not drain(fd, found.extend):
            return found.decode(errors="replace"), True
    return found.decode(errors="replace"), False


@contextmanager
def _cage(policy: Policy, owner: Owner | None) -> Iterator[_Cage]:
    """In the base directory itself, for that is where other sessions are."""
    names = [f".{_PLACE}-{secrets.token_hex(8)}" for _ in range(3)]
    base = os.open(policy.base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for left in policy.base.glob(f".{_PLACE}-*"):
            remove_tree(base, left.name)
        for name in names:
            Workspace.create(base, name, owner).close()
        mine, other, home = (policy.base / name for name in names)
        (other / "file").write_text("secret of another session", encoding="utf-8")
        if owner is not None and os.geteuid() == 0:
            os.chown(other / "file", owner.uid, owner.gid)
        yield _Cage(mine, other, home)
    finally:
        for name in names:
            remove_tree(base, name)
        os.close(base)


def _left(directories: list[str], mark: str) -> str:
    """Where the canary left a file; it is gone then."""
    found = []
    for directory in directories:
        with suppress(OSError):
            os.unlink(f"{directory}/{mark}")
            found.append(directory)
    return " ".join(found)


def _temporary_file(stack: ExitStack) -> str:
    """One that anybody may read who comes to it."""
    fd, path = tempfile.mkstemp(prefix=f"qchat-{_PLACE}-")
    stack.callback(os.unlink, path)
    with open(fd, "w", encoding="utf-8") as file:
        file.write("secret of another program")
    os.chmod(path, 0o644)
    return path


def _listeners(policy: Policy, stack: ExitStack) -> Mapping[str, Any]:
    """What stands for the service's port, and for another program's socket."""
    port = policy.server_port if policy.network.kind == "host" else 0
    with suppress(OSError):  # then the service listens there already
        port = stack.enter_context(socket.create_server(("127.0.0.1", port))).getsockname()[1]
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    name = f"qchat-canary-{secrets.token_hex(8)}"
    unix.bind(f"\0{name}")
    unix.listen()
    return {"port": port, "socket": name}


def _started() -> str:
    """When this process started; with the process id it names it for ever."""
    return Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
