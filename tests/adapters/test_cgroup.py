"""Control groups: the real ones where the tests may make them, else a directory in their place."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from qchat.adapters import cgroup
from qchat.adapters.cgroup import Cgroups
from qchat.adapters.policy import Limits, Policy
from qchat.adapters.process import Launch, Spawner
from qchat.adapters.sandbox import Sandbox

ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@pytest.fixture
def real() -> Iterator[Path]:
    """A directory of real control groups."""
    for root in ROOTS:
        path = root / f"qchat-test-{os.getpid()}"
        if (root / "cgroup.procs").exists() and os.access(root, os.W_OK):
            path.mkdir()
            yield path
            path.rmdir()
            return
    pytest.skip("control groups cannot be made here")


async def test_a_turn_runs_in_its_group(real: Path, tmp_path: Path) -> None:
    """A program that is given a group is in it from its first instruction, with all that it starts."""
    spawner = Spawner()
    here = os.open(tmp_path, os.O_PATH)
    group = os.open(real / "cgroup.procs", os.O_WRONLY)
    try:
        argv = ["/bin/sh", "-c", "cat /proc/self/cgroup"]
        launch = Launch(argv=argv, env={}, directory_fd=here, applied={"cgroup": group})
        process = spawner.spawn(launch)
        await process.cleared
        assert f"/{real.name}\n" in os.read(process.stdout, 10_000).decode()
        process.close()
    finally:
        spawner.stop()
        os.close(here)
        os.close(group)


async def test_a_sandbox_runs_in_its_group(real: Path, place: Path) -> None:
    """Everything in bubblewrap is in the turn's group, and nothing is when the turn is clear."""
    base = place / "sessions"
    home = base / ".qchat" / "id" / "home"
    for path in (base / "id", home):
        path.mkdir(parents=True)
    sandbox = Sandbox.create(Policy(base=base))
    sandbox.methods = ("bubblewrap",)
    spawner = Spawner(confinement=sandbox.confinement)
    spawner.start()
    group = os.open(real / "cgroup.procs", os.O_WRONLY)
    try:
        assert (await sandbox.measure(spawner)).level == "full"
        script = "grep -c : /proc/self/cgroup; sleep 60 & echo ready; cat /proc/self/cgroup; wait"
        with sandbox.launch(["/bin/sh", "-c", script], {}, base / "id", home) as launch:
            process = spawner.spawn(evolve(launch, applied={"cgroup": group}))
        await process.started
        while b"ready" not in (await readable(process.stdout)):
            pass
        inside = (real / "cgroup.procs").read_text().split()
        assert len(inside) >= 4  # bubblewrap, its child, the shell and what it started
        process.tell(b"KILL")
        await process.cleared
        assert (real / "cgroup.procs").read_text() == ""
        process.close()
    finally:
        spawner.stop()
        os.close(group)


async def readable(fd: int) -> bytes:
    """What can be read next."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_reader(fd, event.set)
    async with asyncio.timeout(10):
        await event.wait()
    asyncio.get_running_loop().remove_reader(fd)
    return os.read(fd, 10_000)


def delegated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controllers: str = "cpu memory pids") -> Path:
    """What looks like a directory that was delegated to this process."""
    path = tmp_path / "delegated"
    path.mkdir()
    (path / "cgroup.controllers").write_text(controllers)
    (path / "cgroup.procs").write_text("")
    (path / "cgroup.subtree_control").write_text("")
    monkeypatch.setattr(cgroup, "_own_directory", lambda: path)
    monkeypatch.setattr(cgroup, "_delegated", lambda path: True)
    return path


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn's group bounds memory and processes, and is removed after the turn."""
    path = delegated(tmp_path, monkeypatch)
    made = Path.mkdir

    def mkdir(self: Path, *args: object, **options: object) -> None:
        made(self, *args, **options)  # type: ignore[arg-type]
        (self / "cgroup.procs").touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    found = Cgroups.find(Limits(memory_bytes=1000, processes=7))
    assert found is not None
    assert set((path / "cgroup.subtree_control").read_text().split()) == {"+memory", "+pids"}
    with found.turn() as fd:
        (turn,) = path.glob("qchat-turn-*")
        assert (turn / "memory.max").read_text() == "1000"
        assert (turn / "pids.max").read_text() == "7"
        assert os.readlink(f"/proc/self/fd/{fd}") == str(turn / "cgroup.procs")
    assert (turn / "cgroup.kill").read_text() == "1"
    shutil.rmtree(turn)  # which the kernel's rmdir would have done


def test_not_delegated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the controllers, or the delegation, there are no groups."""
    delegated(tmp_path, monkeypatch, controllers="cpu")
    assert Cgroups.find(Limits()) is None
    monkeypatch.setattr(cgroup, "_delegated", lambda path: False)
    assert Cgroups.find(Limits()) is None


def test_this_process_is_left_where_it_is() -> None:
    """A group that nobody has delegated is never divided up, even by root."""
    before = Path("/proc/self/cgroup").read_text()
    Cgroups.find(Limits())
    if "qchat-service" not in Path("/proc/self/cgroup").read_text():
        assert Path("/proc/self/cgroup").read_text() == before
