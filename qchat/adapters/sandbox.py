"""The sandbox: how agents are kept in their session, chosen once, measured, and composed for every turn.

::

    warden        once: user of the agents, no new privileges, Landlock (TCP ports; signals and abstract
                  sockets stay inside)
    cgroup        memory and processes, where a directory was delegated
    bubblewrap    own namespaces; of the file system only the system and the session
    seccomp       no system calls that lead out of it
    rlimits       between the making of the sandbox and the start of the agent

Without bubblewrap Landlock takes the file system too, which is partial; without either nothing is left
but another user. What is in force is not what was asked for, but what canaries found.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import attrs
from attrs import define, field

from qchat.adapters import canaries, landlock, surroundings
from qchat.adapters.bubblewrap import Bubblewrap, Unavailable
from qchat.adapters.canaries import Lost
from qchat.adapters.cgroup import Cgroups
from qchat.adapters.fallback import Fallback
from qchat.adapters.handover import hand_over
from qchat.adapters.identity import Owner, UserError, agent_user
from qchat.adapters.policy import Policy
from qchat.adapters.process import Confinement, Launch, Spawner
from qchat.adapters.report import Report
from qchat.adapters.seccomp import UnknownMachine
from qchat.adapters.seen import Seen
from qchat.adapters.ways import Ways

_Prepare = Callable[[Policy], Bubblewrap | Fallback]
_METHODS: dict[str, _Prepare] = {
    "bubblewrap": Bubblewrap.create,
    "landlock": Fallback.with_landlock,
    "plain": Fallback.with_nothing,
}
_CANARY_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
_UNCONFINED = {
    "off": "QCHAT_SANDBOX=off: every agent can do whatever the service can",
    "external": "QCHAT_SANDBOX=external: the container keeps agents in, and nothing keeps sessions apart",
}


class SandboxError(Exception):
    """Agents cannot be started as the settings demand; the text says what to change."""


@define(eq=False, kw_only=True)
class Sandbox:
    """How agents are started.

    :meth:`create`, then start the spawner, :meth:`measure`, :meth:`launch` every turn, and :meth:`close`.
    """

    policy: Policy
    owner: Owner | None
    """Whom workspaces and homes have to belong to; None for the service's own user."""
    confinement: Confinement | None
    """For the spawner."""
    cgroups: Cgroups | None = None
    methods: tuple[str, ...] = tuple(_METHODS)
    """What to try, in this order."""
    report: Report
    """What is in force; nothing before it was measured."""
    _method: Bubblewrap | Fallback | None = field(default=None)

    @classmethod
    def create(cls, policy: Policy) -> Self:
        """Work out what does not depend on measurement.

        :raises SandboxError: for settings that contradict each other or the machine.
        """
        confined = policy.mode not in _UNCONFINED
        try:
            owner = agent_user(policy.user) if policy.user or confined else None
        except UserError as error:
            raise SandboxError(str(error)) from error
        user = (owner.uid, owner.gid) if owner else None
        if not confined:
            return cls(
                policy=policy,
                owner=owner,
                confinement=Confinement(user=user) if user else None,
                report=Report(level="none", method=policy.mode, advice=(_UNCONFINED[policy.mode],)),
            )
        _refuse_own_port(policy)
        ways = _ways(policy, owner)
        return cls(
            policy=policy,
            owner=owner,
            confinement=Confinement(
                user=user,
                ruleset_fd=_network_ruleset(policy),
                covers=ways.covers,
                ways=ways.paths,
            ),
            cgroups=Cgroups.find(policy.limits),
            report=Report(level="none", method="unmeasured"),
        )

    async def measure(self, spawner: Spawner) -> Report:
        """Take the best composition that works, and send canaries through it.

        :raises SandboxError: when the mode is ``required`` and the level is below full.
        """
        if self.policy.mode in _UNCONFINED:
            return self.report
        advice: list[str] = []
        for name in self.methods:
            if await self._works(name, spawner, advice):
                break
        advice += surroundings.about_landlock(self.policy)
        advice += surroundings.about_base(self.policy)
        self.report = attrs.evolve(self.report, advice=tuple(advice))
        if self.policy.mode == "required" and self.report.level != "full":
            raise SandboxError("QCHAT_SANDBOX=required, but " + ". ".join(self.report.sentences()))
        return self.report

    def close(self) -> None:
        """Let go of what is held for as long as turns may start."""
        if self._method is not None:
            self._method.held.close()
            self._method = None
        if self.confinement is not None and self.confinement.ruleset_fd is not None:
            os.close(self.confinement.ruleset_fd)
            self.confinement = None

    async def _works(self, name: str, spawner: Spawner, advice: list[str]) -> bool:
        """Try a method; the reason why it does not work goes to ``advice``."""
        if name == "landlock" and not landlock.abi():
            return False
        self.report = Report(level="none", method=name)
        if self._method is not None:
            self._method.held.close()
        try:
            self._method = _METHODS[name](self.policy)
        except (Unavailable, OSError) as error:
            advice.append(str(error))
            return False
        except UnknownMachine as error:
            advice.append(f"there is no filter of system calls for this processor ({error})")
            return False
        why = ""
        limits = self.policy.limits.of_processes(count=self.cgroups is None)
        # The service's own interpreter may be out of the agents' reach.
        for interpreter, visible in ((sys.executable, interpreter_paths()), ("/usr/bin/python3", ())):
            compose = partial(self.launch, [interpreter, "-I", "-S", "-"], _CANARY_ENV, visible=visible)
            try:
                found = await canaries.release(self.policy, self.owner, limits, spawner, compose)
            except Lost as lost:
                why = why or str(lost)
                continue
            self.report = Report.of(name, found)
            return True
        advice.append(
            surroundings.explain(why) if name == "bubblewrap" else f"{name} does not work here: {why}"
        )
        return False

    @contextmanager
    def launch(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        workspace: Path,
        home: Path,
        *,
        visible: Sequence[Path] = (),
    ) -> Iterator[Launch]:
        """Compose one turn; keep the context open until the turn has ended.

        ``argv[0]`` is an absolute path or found in ``env["PATH"]``; ``env`` is all that the agent gets,
        besides HOME, TMPDIR, USER and LOGNAME. ``visible`` is what this turn needs to read in addition.

        :raises OSError: when the workspace or the home cannot be opened.
        """
        with ExitStack() as stack:
            mine = Seen.directory(workspace, stack)
            its_home = Seen.directory(home, stack)
            if self._method is None:
                yield Launch(argv=argv, env={**env, "HOME": str(home)}, directory_fd=mine.fd)
                return
            self._hand_over(mine, its_home, home)
            more = [Seen.anything(path, stack) for path in visible if path.exists()]
            launch = stack.enter_context(self._method.launch(argv, env, mine, its_home, more))
            if self.cgroups:
                applied = {**launch.applied, "cgroup": stack.enter_context(self.cgroups.turn())}
                launch = attrs.evolve(launch, applied=applied)
            yield launch

    def _hand_over(self, workspace: Seen, its_home: Seen, home: Path) -> None:
        """Another user needs to own its directories, and to be able to come to them."""
        if self.owner is None:
            return
        for seen in (workspace, its_home):
            hand_over(seen.fd, self.owner)
        for directory in (home.parent, *home.parent.parents):
            if directory.is_relative_to(self.policy.base):
                make_searchable(directory)


def interpreter_paths() -> tuple[Path, ...]:
    """What a program needs to see that runs in the service's own interpreter."""
    return tuple({Path(path) for path in (sys.prefix, sys.base_prefix, sys.base_exec_prefix)})


def _refuse_own_port(policy: Policy) -> None:
    network = policy.network
    if network.kind == "ports" and policy.server_port in network.ports:
        raise SandboxError(
            f"QCHAT_AGENT_NETWORK={network} is not allowed while PORT={policy.server_port}: agents could"
            " reach the service itself; take another port for one of them"
        )
    if network.kind == "host" and policy.server_port == 0:
        raise SandboxError(
            "QCHAT_AGENT_NETWORK=host is not allowed with PORT=0: the port that it closes has to be known"
        )


def _network_ruleset(policy: Policy) -> int | None:
    if policy.network.kind == "host":
        return landlock.network_ruleset(None, policy.server_port)
    return landlock.network_ruleset(policy.network.ports)


def _ways(policy: Policy, owner: Owner | None) -> Ways:
    if owner is None:
        return Ways()
    for directory in (policy.base, policy.private):  # what is in them is guarded one by one
        make_searchable(directory)
    wanted = (policy.base, *policy.visible, *interpreter_paths())
    return Ways.find([target for path in wanted for target in (path, path.resolve())], owner)


def make_searchable(directory: Path) -> None:
    """Let other users pass through a directory, without letting them see what is in it."""
    mode = directory.stat().st_mode
    if not mode & stat.S_IXOTH:
        directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
