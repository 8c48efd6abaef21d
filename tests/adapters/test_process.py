"""Real processes, started by a real warden."""

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from qchat.adapters.process import WARDEN, Launch, Process, Spawner, SpawnError, drain


@pytest.fixture
async def spawner() -> AsyncIterator[Spawner]:
    spawner = Spawner()
    yield spawner
    spawner.stop()


@pytest.fixture
async def run(spawner: Spawner, tmp_path: Path) -> AsyncIterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(script: str, stdin: bytes = b"", *, fds: tuple[int, ...] = ()) -> Process:
        directory = os.open(tmp_path, os.O_PATH)
        env = {"PATH": os.environ["PATH"]}
        launch = Launch(argv=["bash", "-c", script], env=env, directory_fd=directory, fds=fds)
        try:
            started.append(spawner.spawn(launch, stdin))
        finally:
            os.close(directory)
        return started[-1]

    yield run
    for process in started:
        process.tell(b"KILL")
        await process.cleared
        process.close()


async def output_of(process: Process) -> bytes:
    """All that it writes, once it has ended."""
    await process.cleared
    found = bytearray()
    while drain(process.stdout, found.extend):
        pass
    return bytes(found)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_exit_code(run: Callable[..., Process]) -> None:
    """The exit code is that of the program."""
    assert await run("exit 7").exited == 7


async def test_exit_signal(run: Callable[..., Process]) -> None:
    """A death by signal is the negative signal number."""
    assert await run("kill -TERM $$").exited == -signal.SIGTERM


async def test_stdin_is_complete(run: Callable[..., Process]) -> None:
    """The program reads exactly the prompt and then the end of file, however long it is."""
    prompt = os.urandom(1 << 20)
    process = run("sha256sum", prompt)
    assert (await output_of(process)).split()[0].decode() == hashlib.sha256(prompt).hexdigest()


async def test_unread_stdin(run: Callable[..., Process]) -> None:
    """A program that never reads its prompt ends like any other."""
    assert await run("exec true", b"x" * 400_000).exited == 0


async def test_missing_program(spawner: Spawner, tmp_path: Path) -> None:
    """A program that does not exist is named in the error."""
    fd = os.open(tmp_path, os.O_PATH)
    process = spawner.spawn(Launch(argv=["/no/such/agent"], env={}, directory_fd=fd))
    os.close(fd)
    with pytest.raises(SpawnError, match="/no/such/agent: No such file"):
        await process.started
    process.close()


async def test_only_the_descriptors_it_is_given(run: Callable[..., Process]) -> None:
    """A program holds descriptors 0, 1, 2 and what it was handed, in order, and no other."""
    reader, writer = os.pipe()
    try:
        script = "echo given >&3; for n in {0..40}; do [ -e /proc/$$/fd/$n ] && echo -n $n,; done"
        process = run(script, fds=(writer,))
        assert await output_of(process) == b"0,1,2,3,"
        assert os.read(reader, 100) == b"given\n"
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    "leave",
    [
        "sleep 60 & disown",
        "setsid sleep 60 &",
        "(setsid bash -c 'sleep 60 & sleep 60' &) &",
        "setsid bash -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done' &",
        "env -i setsid sleep 60 &",
    ],
)
async def test_nothing_survives_an_exit(run: Callable[..., Process], leave: str) -> None:
    """What a program leaves behind is gone when the turn is clear, and the exit does not wait for it."""
    process = run(f"{leave}\necho $!; sleep 0.1; exit 0")
    assert await process.exited == 0
    left = int((await output_of(process)).split()[0])
    assert not alive(left)


async def test_exit_is_seen_while_a_grandchild_holds_the_pipe(run: Callable[..., Process]) -> None:
    """The end is the process's exit, not the end of the pipe."""
    async with asyncio.timeout(10):
        assert await run("setsid sleep 60 & exit 3").exited == 3


async def test_stop_interrupts_first(run: Callable[..., Process]) -> None:
    """A program that obeys SIGINT ends by it."""
    process = run("trap 'exit 42' INT; sleep 60 & echo ready; wait")
    await readable(process.stdout)
    await process.stop()
    assert process.exited.result() == 42


async def test_stop_kills_what_ignores_signals(
    run: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that ignores SIGINT and SIGTERM is killed."""
    ladder = ((b"INT", 0.1), (b"TERM", 0.1), (b"KILL", 5.0))
    monkeypatch.setattr("qchat.adapters.process.LADDER", ladder)
    process = run("trap '' INT TERM; echo ready; while :; do sleep 0.01; done")
    await readable(process.stdout)
    await process.stop()
    assert process.exited.result() == -signal.SIGKILL
    assert process.cleared.done()


async def test_closing_ends_the_tree(run: Callable[..., Process], spawner: Spawner) -> None:
    """When the service's end of a turn closes, as it does when the service dies, the tree dies."""
    process = run("setsid sleep 60 & echo $!; wait")
    await readable(process.stdout)
    left = int(os.read(process.stdout, 100))
    process._turn.shutdown(2)
    await gone(left)


async def test_a_killed_keeper_loses_nobody(run: Callable[..., Process]) -> None:
    """When a keeper is killed, its agent dies and the warden ends the strays."""
    process = run("setsid sleep 60 & echo $!; wait")
    await readable(process.stdout)
    left = int(os.read(process.stdout, 100))
    agent = await process.started
    keeper = int(Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    assert await process.exited == -signal.SIGKILL
    await gone(left)
    await gone(agent)


async def test_a_killed_warden_is_replaced(run: Callable[..., Process], spawner: Spawner) -> None:
    """After the warden was killed the next spawn starts another one."""
    assert await run("exit 0").exited == 0
    assert spawner._warden is not None
    spawner._warden.kill()
    spawner._warden.wait()
    assert await run("exit 5").exited == 5


async def test_killed_spares_are_replaced(run: Callable[..., Process], spawner: Spawner) -> None:
    """When the keepers that wait for a request are killed, others take the next ones."""
    assert await run("exit 0").exited == 0
    assert spawner._warden is not None
    warden = spawner._warden.pid
    for pid in map(int, Path(f"/proc/{warden}/task/{warden}/children").read_text().split()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await gone(pid)
    codes = [await run(f"exit {number}").exited for number in range(1, 9)]
    assert codes == [*range(1, 9)]
    assert spawner._warden.pid == warden


async def readable(fd: int) -> None:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, event.set)
    try:
        async with asyncio.timeout(10):
            await event.wait()
    finally:
        loop.remove_reader(fd)


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while alive(pid):
            await asyncio.sleep(0.005)


def test_warden_needs_no_site_packages() -> None:
    """The warden imports nothing outside the standard library, and little of that."""
    command = [*WARDEN]
    code = command.index("-c") + 1
    command[code] = command[code].partition("main(")[0] + "print(*sys.modules)"
    found = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True, env={})
    modules = found.stdout.split()
    assert "qchat.adapters.warden.keeper" in modules
    assert not {"asyncio", "attr", "subprocess", "typing_extensions"} & set(modules)
