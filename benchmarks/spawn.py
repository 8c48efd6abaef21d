"""What every layer of the sandbox adds to the start of a turn: ``python benchmarks/spawn.py [rounds]``.

Measures the time from the request to the exit of ``/bin/true``, and until nothing of it is left. The variants
are interleaved, so that noise of the machine falls on all of them alike. Run it as root and as an
ordinary user: as root the agents run as another user.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from qchat.adapters.policy import Network, Policy
from qchat.adapters.process import Launch, Spawner
from qchat.adapters.sandbox import Sandbox

WARM_UP = 3
PROGRAM = "/bin/true"
ENV = {"PATH": "/usr/bin:/bin"}
Times = tuple[float, float]
"""Milliseconds until the exit, and until nothing is left."""


async def directly() -> Times:
    """What an asyncio program without any of this does."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await process.wait()
    took = (time.perf_counter() - began) * 1000
    return took, took


def through(
    spawner: Spawner, compose: Callable[[], AbstractContextManager[Launch]]
) -> Callable[[], Awaitable[Times]]:
    async def run() -> Times:
        began = time.perf_counter()
        with compose() as launch:
            process = spawner.spawn(launch, b"prompt")
            code = await process.exited
            exited = time.perf_counter()
            await process.cleared
            cleared = time.perf_counter()
            process.close()
        assert code == 0, code
        return (exited - began) * 1000, (cleared - began) * 1000

    return run


async def variants(base: Path, stack: ExitStack) -> dict[str, Callable[[], Awaitable[Times]]]:
    plain = Spawner()
    plain.start()
    stack.callback(plain.stop)
    here = os.open("/", os.O_PATH)
    stack.callback(os.close, here)
    launch = Launch(argv=[PROGRAM], env=ENV, directory_fd=here)
    found = {"asyncio, directly": directly, "warden": through(plain, lambda: nullcontext(launch))}
    for name, method, network in (
        ("warden, user and Landlock (ports)", "", "ports:443,53"),
        ("Landlock for files too, seccomp", "landlock", "ports:443,53"),
        ("bubblewrap, everything", "bubblewrap", "ports:443,53"),
        ("bubblewrap, network host", "bubblewrap", "host"),
        ("bubblewrap, network none", "bubblewrap", "none"),
    ):
        found[name] = await sandboxed(base / str(len(found)), method, network, launch, stack)
    return found


async def sandboxed(
    base: Path, method: str, network: str, launch: Launch, stack: ExitStack
) -> Callable[[], Awaitable[Times]]:
    workspace, home = base / "workspace", base / ".qchat" / "id" / "home"
    for path in (workspace, home):
        path.mkdir(parents=True)
    sandbox = Sandbox.create(Policy(base=base, network=Network.parse(network), server_port=8080))
    spawner = Spawner(confinement=sandbox.confinement)
    spawner.start()
    stack.callback(spawner.stop)
    if not method:
        return through(spawner, lambda: nullcontext(launch))
    sandbox.methods = (method,)
    report = await sandbox.measure(spawner)
    if report.method != method or not report.open.keys() <= {"metadata", "processes", "limits"}:
        print(*report.sentences(), sep="\n", file=sys.stderr)
    return through(spawner, lambda: sandbox.launch([PROGRAM], ENV, workspace, home))


async def measure(rounds: int, base: Path) -> dict[str, list[Times]]:
    with ExitStack() as stack:
        found = await variants(base, stack)
        times: dict[str, list[Times]] = {name: [] for name in found}
        for number in range(WARM_UP + rounds):
            for name, run in found.items():
                taken = await run()
                if number >= WARM_UP:
                    times[name].append(taken)
        return times


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="qchat-bench-", dir="/var/tmp") as directory:
        base = Path(directory).resolve()
        base.chmod(0o711)
        times = asyncio.run(measure(rounds, base))
    print(f"{rounds} rounds as user {os.geteuid()}; milliseconds until the exit, and until nothing is left")
    first = statistics.median(pair[0] for pair in times["asyncio, directly"])
    for name, pairs in times.items():
        exits = sorted(pair[0] for pair in pairs)
        median = statistics.median(exits)
        p95 = exits[int(len(exits) * 0.95)]
        clear = statistics.median(pair[1] for pair in pairs)
        print(f"{name:36} p50 {median:6.2f} ({median - first:+6.2f})  p95 {p95:6.2f}  clear {clear:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
