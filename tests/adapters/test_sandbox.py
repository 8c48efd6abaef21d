"""The sandbox, with real processes in it."""

import asyncio
import errno
import os
import select
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from qchat.adapters import bubblewrap
from qchat.adapters.policy import Limits, Network, Policy
from qchat.adapters.process import Process, Spawner, SpawnError, drain
from qchat.adapters.report import Report
from qchat.adapters.sandbox import Sandbox, SandboxError
from qchat.adapters.seccomp import compile_filter
from qchat.adapters.seen import memory
from qchat.adapters.warden import kernel
from qchat.adapters.workspace import Workspace
from tests.users import in_child

SESSION = "0b6d1dcc-5cb5-4f08-8d2c-5a5bd2d6a0aa"
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
Start = Callable[..., Process]


@pytest.fixture
def base(place: Path) -> Path:
    path = place / "sessions"
    path.mkdir()
    (path / ".qchat").mkdir(mode=0o700)
    return path


class Arrangement:
    """A sandbox, its spawner, and one session."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.spawner = Spawner(confinement=sandbox.confinement)
        self.workspace = sandbox.policy.base / SESSION
        self.home = sandbox.policy.base / ".qchat" / SESSION / "home"
        self.processes: list[Process] = []

    async def prepare(self) -> Report:
        self.workspace.mkdir(mode=0o700, exist_ok=True)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.spawner.start()
        return await self.sandbox.measure(self.spawner)

    def start(self, script: str, stdin: bytes = b"", *, visible: tuple[Path, ...] = ()) -> Process:
        argv = ["/bin/bash", "-c", script]
        with self.sandbox.launch(argv, ENV, self.workspace, self.home, visible=visible) as launch:
            process = self.spawner.spawn(launch, stdin)
        self.processes.append(process)
        return process

    async def output(self, script: str, stdin: bytes = b"", *, visible: tuple[Path, ...] = ()) -> str:
        process = self.start(script, stdin, visible=visible)
        await process.cleared
        return everything(process.stdout) + everything(process.stderr)

    async def close(self) -> None:
        for process in self.processes:
            process.tell(b"KILL")
            await process.cleared
            process.close()
        self.spawner.stop()
        self.sandbox.close()


def everything(fd: int) -> str:
    found = bytearray()
    while drain(fd, found.extend) and select.select([fd], [], [], 0)[0]:
        pass
    return found.decode(errors="replace")


@pytest.fixture(params=["bubblewrap", "landlock"])
async def arrangement(request: pytest.FixtureRequest, base: Path) -> AsyncIterator[Arrangement]:
    """A session in either composition that keeps sessions apart."""
    found = Arrangement(Sandbox.create(Policy(base=base, limits=Limits(processes=50))))
    found.sandbox.methods = (request.param,)
    await found.prepare()
    yield found
    await found.close()


@pytest.fixture
async def boxed(base: Path) -> AsyncIterator[Arrangement]:
    """A session in bubblewrap."""
    found = Arrangement(Sandbox.create(Policy(base=base, limits=Limits(processes=50))))
    assert (await found.prepare()).level == "full"
    yield found
    await found.close()


# What an agent finds


async def test_where_it_is(arrangement: Arrangement) -> None:
    """The agent is in its workspace, at its real path, and can write there."""
    assert await arrangement.output("pwd -P; echo x > file; cat file") == f"{arrangement.workspace}\nx\n"
    owner = arrangement.sandbox.owner
    assert (arrangement.workspace / "file").stat().st_uid == (owner.uid if owner else os.geteuid())


async def test_home_is_its_own_and_stays(arrangement: Arrangement) -> None:
    """What the agent leaves in its home is there in the next turn, and is in the session's home outside."""
    await arrangement.output("echo remembered > ~/memory")
    assert await arrangement.output("cat ~/memory") == "remembered\n"
    assert (arrangement.home / "memory").read_text() == "remembered\n"


async def test_environment(arrangement: Arrangement, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent has the environment that it is given and no more."""
    monkeypatch.setenv("QCHAT_SECRET", "x")
    names = set((await arrangement.output("env | cut -d= -f1")).split())
    assert names - {"PWD", "SHLVL", "_"} == {"HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER"}


async def test_prompt(arrangement: Arrangement) -> None:
    """The prompt is on standard input."""
    assert await arrangement.output("cat", b"prompt") == "prompt"


async def test_temporary_directory(arrangement: Arrangement) -> None:
    """There is a directory for temporary files, and it can be written."""
    assert await arrangement.output('f=$(mktemp) && echo "${f%/*}"') == (
        "/tmp\n" if arrangement.sandbox.report.method == "bubblewrap" else f"{arrangement.home}\n"
    )


async def test_who_it_is(boxed: Arrangement) -> None:
    """The agent has a name of its own, and is not root."""
    assert await boxed.output("whoami; id -u; hostname") == "agent\n1000\nqchat\n"


async def test_names_in_any_language(arrangement: Arrangement) -> None:
    """Arguments, paths and variables that are not ASCII arrive as they are."""
    assert await arrangement.output("mkdir 目录; cd 目录; basename $(pwd); echo é") == "目录\né\n"


async def test_tools_work(boxed: Arrangement) -> None:
    """Common tools find what they need."""
    script = (
        "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x"
        " && git log --oneline | wc -l; ls /etc/ssl/certs | head -1 | wc -l; ps -e | tail -n +2 | wc -l"
    )
    commits, certificates, processes = (await boxed.output(script)).split()
    assert (commits, certificates) == ("1", "1")
    assert int(processes) < 8


# How it ends


async def test_exit_code(arrangement: Arrangement) -> None:
    """The exit code is that of the agent, also one that looks like a signal's to bubblewrap."""
    for code in (0, 1, 7, 127, 255):
        assert await arrangement.start(f"exit {code}").exited == code


async def test_exit_by_signal(arrangement: Arrangement) -> None:
    """A death by signal is the negative signal number."""
    assert await arrangement.start("kill -TERM $$").exited == -signal.SIGTERM


async def test_interrupt_reaches_the_agent(arrangement: Arrangement) -> None:
    """SIGINT and SIGTERM arrive at the agent itself, which can end in its own way."""
    for command, name in ((b"INT", "INT"), (b"TERM", "TERM")):
        process = arrangement.start(
            f"trap 'echo bye; exit 42' {name}; echo ready; while :; do sleep 0.01; done"
        )
        await readable(process.stdout)
        process.tell(command)
        assert await process.exited == 42
        await process.cleared
        assert everything(process.stdout) == "ready\nbye\n"


async def test_stop_before_it_began(arrangement: Arrangement) -> None:
    """A turn that is stopped while its sandbox is being made ends at once, and leaves nothing."""
    for command in (b"INT", b"TERM", b"KILL"):
        process = arrangement.start("sleep 60")
        process.tell(command)
        async with asyncio.timeout(10):
            await process.exited
            process.tell(b"KILL")
            await process.cleared
        process.started.exception()


async def test_stop_kills_what_is_deaf(arrangement: Arrangement, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that ignores everything is killed."""
    ladder = ((b"INT", 0.1), (b"TERM", 0.1), (b"KILL", 5.0))
    monkeypatch.setattr("qchat.adapters.process.LADDER", ladder)
    process = arrangement.start("trap '' INT TERM; echo ready; while :; do sleep 0.01; done")
    await readable(process.stdout)
    await process.stop()
    assert process.cleared.done()


@pytest.mark.parametrize("end", ["exit 0", "kill -9 $$", "sleep 60"])
async def test_nothing_survives(arrangement: Arrangement, end: str) -> None:
    """Daemons are gone when the turn is clear, and the pipe with them."""
    process = arrangement.start(
        f"setsid bash -c 'trap \"\" TERM; (setsid sleep 61 &) ; sleep 62' & echo ready; {end}"
    )
    await readable(process.stdout)
    if end == "sleep 60":
        process.tell(b"KILL")
    await process.cleared
    everything(process.stdout)
    assert os.read(process.stdout, 1) == b""  # nobody is left who could write


async def test_death_of_the_service(arrangement: Arrangement) -> None:
    """When the service's end of the turn closes, everything in the sandbox ends."""
    process = arrangement.start("setsid sleep 61 & echo ready; wait")
    await readable(process.stdout)
    os.read(process.stdout, 100)
    process._turn.shutdown(2)
    async with asyncio.timeout(10):
        await readable(process.stdout)
    assert os.read(process.stdout, 1) == b""


async def test_missing_program(boxed: Arrangement) -> None:
    """A program that is not in the sandbox is named on standard error, as a shell would."""
    with boxed.sandbox.launch(["/no/such/agent"], ENV, boxed.workspace, boxed.home) as launch:
        process = boxed.spawner.spawn(launch)
    boxed.processes.append(process)
    assert await process.exited == 127
    await process.cleared
    assert "/no/such/agent: No such file" in everything(process.stderr)


async def test_bubblewrap_that_fails(boxed: Arrangement) -> None:
    """When the sandbox cannot be made the start fails, and the agent never runs."""
    with boxed.sandbox.launch(["/bin/true"], ENV, boxed.workspace, boxed.home) as launch:
        broken = attrs.evolve(launch, argv=[launch.argv[0], "--no-such-option", *launch.argv[1:]])
        process = boxed.spawner.spawn(broken)
    boxed.processes.append(process)
    with pytest.raises(SpawnError, match="bubblewrap could not make the sandbox"):
        await process.started


async def test_limits_from_the_first_instruction(boxed: Arrangement) -> None:
    """The agent is limited before it runs, every time."""
    for _ in range(20):
        assert await boxed.output("ulimit -u; ulimit -c") == "50\n0\n"


async def test_many_at_once(boxed: Arrangement) -> None:
    """Twenty turns start together and each gets its own answer."""
    processes = [boxed.start(f"echo {number}") for number in range(20)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(process.cleared for process in processes))
    assert [everything(process.stdout) for process in processes] == [f"{number}\n" for number in range(20)]


async def test_no_descriptor_is_left(boxed: Arrangement) -> None:
    """A turn leaves no descriptor behind in the service."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        process = boxed.start("true")
        await process.cleared
        process.close()
        boxed.processes.remove(process)
    assert len(os.listdir("/proc/self/fd")) == before


# What can be seen


async def test_what_is_visible(boxed: Arrangement, place: Path) -> None:
    """A turn reads what it is shown besides, a file or a directory, and cannot write it."""
    (place / "tools").mkdir()
    (place / "tools" / "tool").write_text("tool")
    (place / "note").write_text("note")
    (place / "hidden").write_text("hidden")
    script = f"cat {place}/tools/tool {place}/note; echo x > {place}/tools/x; cat {place}/hidden"
    said = await boxed.output(script, visible=(place / "tools", place / "note", place / "missing"))
    assert said.startswith("toolnote")
    assert "Read-only file system" in said
    assert "hidden: No such file" in said


async def test_what_is_visible_does_not_show_sessions(base: Path, place: Path) -> None:
    """When what agents may see holds the base directory, other sessions stay hidden all the same."""
    found = Arrangement(Sandbox.create(Policy(base=base, visible=(place,))))
    try:
        assert (await found.prepare()).level == "full"
        (base / "other").mkdir()
        assert await found.output(f"ls -A {base}; ls -A {place}") == f"{SESSION}\nsessions\n"
    finally:
        await found.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be where others may not look")
async def test_base_where_agents_may_not_look(place: Path) -> None:
    """A service that is root keeps its sessions where only root may look, and agents work there."""
    hidden = place / "root only"
    base = hidden / "sessions"
    (base / ".qchat").mkdir(parents=True)
    hidden.chmod(0o700)
    (hidden / "secret").write_text("secret")
    (hidden / "bin").mkdir()
    shutil.copy("/bin/cat", hidden / "bin" / "tool")
    for methods in (("bubblewrap",), ("landlock",)):
        found = Arrangement(Sandbox.create(Policy(base=base, visible=(hidden / "bin",))))
        found.sandbox.methods = methods
        try:
            assert (await found.prepare()).level in ("full", "partial")
            said = await found.output(f"pwd -P; echo fine > f; '{hidden}/bin/tool' f; cat '{hidden}/secret'")
            assert said.startswith(f"{found.workspace}\nfine\n")
            assert "No such file" in said
        finally:
            await found.close()


async def test_network_none(base: Path) -> None:
    """Without a network there is no interface but a loopback of its own."""
    found = Arrangement(Sandbox.create(Policy(base=base, network=Network("none"))))
    try:
        assert (await found.prepare()).level == "full"
        assert await found.output("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '") == "lo\n"
    finally:
        await found.close()


# What is told


async def test_report(boxed: Arrangement) -> None:
    """A sandbox that holds is called full, and nothing is open."""
    report = boxed.sandbox.report.to_json()
    assert (report["level"], report["method"], report["open"]) == ("full", "bubblewrap", [])


async def test_without_bubblewrap(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap the level is partial; what is open, and what to install, is told."""
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda *_, **__: None)  # type: ignore[attr-defined]
    found = Arrangement(Sandbox.create(Policy(base=base)))
    try:
        report = await found.prepare()
        assert (report.level, report.method) == ("partial", "landlock")
        assert {"metadata", "processes", "limits"} <= set(report.open)
        assert any("install the package bubblewrap" in sentence for sentence in report.sentences())
    finally:
        await found.close()


async def test_required(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the full level is required less is refused, in words."""
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda *_, **__: None)  # type: ignore[attr-defined]
    found = Arrangement(Sandbox.create(Policy(base=base, mode="required")))
    try:
        with pytest.raises(SandboxError, match=r"QCHAT_SANDBOX=required, but isolation is partial.*install"):
            await found.prepare()
    finally:
        await found.close()


async def test_nothing_to_be_had(base: Path) -> None:
    """With neither bubblewrap nor Landlock agents run, and the level is none."""
    found = Arrangement(Sandbox.create(Policy(base=base)))
    found.sandbox.methods = ("plain",)
    try:
        report = await found.prepare()
        assert report.level == "none"
        assert "sessions" in report.open
        assert await found.output("echo works") == "works\n"
    finally:
        await found.close()


def test_where_namespaces_are_forbidden(place: Path) -> None:
    """Where a filter of system calls forbids namespaces, as in Docker, Landlock is left, and help is told."""

    async def scenario() -> tuple[str, str, str]:
        base = place / "sessions"
        (base / ".qchat").mkdir(parents=True)
        found = Arrangement(Sandbox.create(Policy(base=base)))
        report = await found.prepare()
        await found.close()
        return report.level, report.method, " ".join(report.advice)

    def forbidden() -> tuple[str, str, str]:
        with ExitStack() as stack:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            kernel.filter_calls(memory(compile_filter(), stack))
        return asyncio.run(scenario())

    level, method, advice = in_child(forbidden)
    assert (level, method) == ("partial", "landlock")
    assert "Docker" in advice


async def test_read_only_base(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base directory in which nothing can be made is named."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Workspace, "create", refuse)
    found = Arrangement(Sandbox.create(Policy(base=base)))
    try:
        report = await found.prepare()
        assert report.level == "none"
        assert f"{base}: Read-only file system" in report.advice[0]
    finally:
        await found.close()


@pytest.mark.parametrize("mode", ["off", "external"])
async def test_not_wanted(base: Path, mode: str) -> None:
    """A sandbox that is off is said to be, and agents run as the service does."""
    found = Arrangement(Sandbox.create(Policy(base=base, mode=mode)))  # type: ignore[arg-type]
    try:
        report = await found.prepare()
        assert (report.level, report.method) == ("none", mode)
        assert f"QCHAT_SANDBOX={mode}" in report.advice[0]
        assert await found.output("id -u; echo $HOME") == f"{os.geteuid()}\n{found.home}\n"
    finally:
        await found.close()


async def test_close(base: Path) -> None:
    """A sandbox that is closed holds no descriptor."""
    before = os.listdir("/proc/self/fd")
    for methods in (("bubblewrap",), ("landlock",), ("plain",), ("bubblewrap", "landlock")):
        found = Arrangement(Sandbox.create(Policy(base=base)))
        found.sandbox.methods = methods
        await found.prepare()
        await found.close()
    assert os.listdir("/proc/self/fd") == before


async def test_no_trace_of_measuring(base: Path) -> None:
    """Canaries leave nothing behind, not even those of a service that was killed."""
    (base / ".canary-left-behind").mkdir()
    found = Arrangement(Sandbox.create(Policy(base=base)))
    await found.prepare()
    await found.close()
    assert sorted(os.listdir(base)) == [".qchat", SESSION]


@pytest.mark.parametrize(
    ("network", "port", "says"),
    [
        (Network("ports", (443, 8443)), 8443, "agents could reach the service itself"),
        (Network("host"), 0, "PORT=0"),
    ],
)
def test_own_port(base: Path, network: Network, port: int, says: str) -> None:
    """A service whose own port agents may connect to does not start."""
    with pytest.raises(SandboxError, match=says):
        Sandbox.create(Policy(base=base, network=network, server_port=port))


def test_user_that_cannot_be(base: Path) -> None:
    """A user that agents cannot run as stops the start."""
    with pytest.raises(SandboxError, match="QCHAT_AGENT_USER='root'"):
        Sandbox.create(Policy(base=base, user="root"))


async def readable(fd: int) -> None:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, event.set)
    try:
        async with asyncio.timeout(10):
            await event.wait()
    finally:
        loop.remove_reader(fd)
