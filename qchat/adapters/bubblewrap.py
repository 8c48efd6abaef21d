"""Agents in bubblewrap: own user, process, IPC, host and cgroup namespaces; a file system that holds the
system, read-only, and of everything else just the session.

Sources are bound by descriptor where bubblewrap can: the user that agents run as need not be able to
reach them by path (everything beneath /root), and no path can be swapped in between.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from attrs import define

from qchat.adapters import landlock
from qchat.adapters.etc import Etc
from qchat.adapters.policy import Policy
from qchat.adapters.process import Launch
from qchat.adapters.seccomp import compile_filter
from qchat.adapters.seen import SYSTEM, Seen, memory

HOMES = ("/home/agent", "/home/qchat-agent", "/agent")
UID = GID = 1000
"""What the agent sees itself as; outside it is whoever bubblewrap runs as."""
FIRST_FD = 3


class Unavailable(Exception):
    """Bubblewrap cannot be used; the text says why and what helps."""


@define(eq=False)
class _Arguments:
    """Arguments of bubblewrap and the descriptors that they name."""

    words: list[str]
    fds: list[int]
    by_fd: bool

    def descriptor(self, fd: int) -> str:
        self.fds.append(fd)
        return str(FIRST_FD + len(self.fds) - 1)

    def bind(self, source: Seen, target: str, *, writable: bool = False) -> None:
        option = "--bind" if writable else "--ro-bind"
        if self.by_fd:
            self.words += [f"{option}-fd", self.descriptor(source.fd), target]
        else:
            self.words += [option, source.path, target]


@define(eq=False, kw_only=True)
class Bubblewrap:
    """Made once; what does not change from turn to turn is worked out here."""

    program: str
    options: frozenset[str]
    """What this version knows."""
    policy: Policy
    home: str
    """What the agent's private home is called in there."""
    etc: Etc
    visible: tuple[Seen, ...]
    root_fd: int
    _filter: bytes
    held: ExitStack
    """Closes the descriptors of what is visible."""

    @classmethod
    def create(cls, policy: Policy) -> Self:
        """Prepare for turns.

        :raises Unavailable: when there is no bubblewrap, or it cannot do what is needed.
        :raises UnknownMachine: when there is no filter of system calls for this processor.
        """
        program = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin:" + os.defpath)
        if program is None:
            raise Unavailable("bubblewrap is not installed: install the package bubblewrap (it has bwrap)")
        options = _options(program)
        if os.geteuid() == 0 and "--bind-fd" not in options:
            raise Unavailable(
                f"{program} is too old for a service that runs as root (it has no --bind-fd): install"
                " bubblewrap 0.10 or later, or start the service as an ordinary user"
            )
        if policy.base.is_relative_to("/etc"):
            raise Unavailable("the base directory lies beneath /etc, which agents have a copy of: move it")
        home = next(home for home in HOMES if not _beneath(home, (policy.base, *policy.visible)))
        beneath_etc = [str(path)[5:] for path in policy.visible if path.is_relative_to("/etc")]
        held = ExitStack()  # for as long as the service lives
        paths = (*_system(), *_outermost(policy.visible))
        return cls(
            program=program,
            home=home,
            options=options,
            policy=policy,
            etc=Etc.make(policy.private / "etc", uid=UID, gid=GID, home=home, more=beneath_etc),
            visible=tuple(Seen.anything(path, held) for path in paths),
            root_fd=Seen.directory(Path("/"), held).fd,
            filter=compile_filter(unix_sockets=_sockets_end_here(policy)),
            held=held,
        )

    @contextmanager
    def launch(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        workspace: Seen,
        home: Seen,
        more: Sequence[Seen] = (),
    ) -> Iterator[Launch]:
        """What to start for one turn; ``more`` is seen besides. The context's end closes descriptors."""
        self.etc.refresh()
        with ExitStack() as stack:
            arguments = _Arguments([], [-1], "--bind-fd" in self.options)
            filter_fd = memory(self._filter, stack)
            self._namespaces(arguments)
            self._system(arguments, Seen.directory(self.etc.path, stack))
            self._session(arguments, self._seen(more, stack), workspace, home)
            arguments.words += ["--seccomp", arguments.descriptor(filter_fd)]
            told = FIRST_FD + len(arguments.fds)
            arguments.words += ["--json-status-fd", str(told), "--block-fd", str(told + 1)]
            arguments.fds[0] = memory("\0".join(arguments.words).encode("utf-8", "surrogateescape"), stack)
            yield Launch(
                argv=[self.program, "--args", str(FIRST_FD), "--", *argv],
                env={**env, "HOME": self.home, "TMPDIR": "/tmp", "USER": "agent", "LOGNAME": "agent"},
                directory_fd=self.root_fd,
                fds=arguments.fds,
                limits=self.policy.limits.of_processes(count=True),
                bubblewrap=True,
            )

    def _namespaces(self, arguments: _Arguments) -> None:
        arguments.words += (
            *("--unshare-user", "--uid", str(UID), "--gid", str(GID)),
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--hostname", "qchat", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        )
        if "--disable-userns" in self.options:
            arguments.words.append("--disable-userns")
        if self.policy.network.kind == "none":
            arguments.words.append("--unshare-net")

    def _system(self, arguments: _Arguments, etc: Seen) -> None:
        sized = "--size" in self.options
        for link in SYSTEM:
            if Path("/", link).is_symlink():
                arguments.words += ["--symlink", os.readlink(f"/{link}"), f"/{link}"]
        arguments.bind(etc, "/etc")
        arguments.words += ["--proc", "/proc", "--dev", "/dev"]
        arguments.words += ["--size", str(self.policy.limits.shm_bytes)] if sized else []
        arguments.words += ["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        arguments.words += ["--size", str(self.policy.limits.tmp_bytes)] if sized else []
        arguments.words += ["--tmpfs", "/tmp"]
        if not _beneath("/var/tmp", (self.policy.base, *self.policy.visible)):
            arguments.words += ["--symlink", "../tmp", "/var/tmp"]

    def _seen(self, more: Sequence[Seen], stack: ExitStack) -> list[Seen]:
        """A mount beneath another has to come after it."""
        if not more:
            return [*self.visible]
        paths = [Path(seen.path) for seen in (*self.visible, *more)]
        system = [Seen.anything(path, stack) for path in _system()]
        return [*system, *(Seen.anything(path, stack) for path in _outermost(paths))]

    def _session(self, arguments: _Arguments, visible: list[Seen], workspace: Seen, home: Seen) -> None:
        base = self.policy.base
        for seen in visible:
            arguments.bind(seen, seen.path)
        covered = any(base.is_relative_to(seen.path) for seen in visible)
        if covered:  # the other sessions would be in there
            arguments.words += ["--tmpfs", str(base)]
        arguments.bind(home, self.home, writable=True)
        arguments.bind(workspace, workspace.path, writable=True)
        arguments.words += ["--remount-ro", str(base)] if covered else []
        arguments.words += ["--remount-ro", "/", "--chdir", workspace.path]


def _options(program: str) -> frozenset[str]:
    try:
        found = subprocess.run([program, "--help"], capture_output=True, timeout=10, check=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{program} cannot be run: {error}") from error
    return frozenset(word for word in found.stdout.split() if word.startswith("--"))


def _sockets_end_here(policy: Policy) -> bool:
    """Whether abstract sockets of others, which no file system hides, are out of reach."""
    return landlock.abi() >= landlock.ABI_SCOPES or policy.network.kind == "none"


def _beneath(path: str, others: Iterable[Path]) -> bool:
    return any(other.is_relative_to(path) for other in others)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """What is to be seen besides the system, and where its links lead: nothing twice, the outer first.

    :raises Unavailable: for the root, which would show everything.
    """
    wanted = {target for path in paths if path.exists() for target in (path, path.resolve())}
    if Path("/") in wanted:
        raise Unavailable("the whole file system cannot be visible to agents")
    system = {Path("/", name) for name in ("usr", "etc", "nix/store", *SYSTEM)}
    return sorted(
        path for path in wanted if not any(path.is_relative_to(other) for other in system | (wanted - {path}))
    )


def _system() -> list[Path]:
    paths = [Path("/", name) for name in ("usr", *SYSTEM, "nix/store")]
    return [path for path in paths if path.is_dir() and not path.is_symlink()]
