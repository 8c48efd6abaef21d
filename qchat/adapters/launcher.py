"""How a turn's agent is started: which CLI, with which arguments, where, and with what environment."""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import structlog
from attrs import define, field

from qchat.adapters.agents import Agent, find_agent, missing
from qchat.adapters.policy import Policy
from qchat.adapters.process import Launch, Spawner
from qchat.adapters.sandbox import Sandbox, interpreter_paths
from qchat.adapters.statedir import StateDir, storage_error
from qchat.errors import AgentUnavailable
from qchat.model.prompt import compose, is_command
from qchat.model.turn import Form, Output
from qchat.settings import Settings

log = structlog.get_logger()
PASSED_ON = ("PATH", "LANG", "TZ", "TERM", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
PASSED_ON_PREFIXES = ("LC_", "AWS_", "AMAZON_Q_")


@define(eq=False, kw_only=True)
class Launcher:
    """``agent`` is None when the one that the settings ask for is not there."""

    settings: Settings
    state: StateDir
    sandbox: Sandbox
    agent: Agent | None
    measured: asyncio.Event = field(factory=asyncio.Event)
    """Set when it is known how agents are kept in; no turn starts before."""

    @classmethod
    def create(cls, settings: Settings, state: StateDir) -> Self:
        """Find the agent, and work out the sandbox, which is measured later.

        :raises SandboxError: for settings that contradict each other or the machine.
        """
        agent = find_agent(settings)
        policy = Policy(
            base=state.base,
            mode=settings.sandbox,
            user=settings.agent_user,
            network=settings.agent_network,
            server_port=settings.port,
            visible=agent.visible if agent else (),
        )
        return cls(settings=settings, state=state, sandbox=Sandbox.create(policy), agent=agent)

    @property
    def available(self) -> bool:
        return self.agent is not None

    @property
    def name(self) -> str:
        """As ``/health`` shows it."""
        return self.agent.name if self.agent else self.settings.agent

    @property
    def form(self) -> Form:
        return self.agent.form if self.agent else "q"

    @property
    def output(self) -> Output:
        return self.settings.output

    def describe(self) -> str:
        """The agent and how well it is kept in, for the operator."""
        isolation = f"isolation: {self.sandbox.report.level}"
        if self.agent is None:
            return f"none: {missing(self.settings)} ({isolation})"
        return f"{self.agent.description} ({isolation})"

    async def measure(self, spawner: Spawner) -> None:
        """Send canaries through the sandbox, and say what they found.

        :raises SandboxError: when the settings require more than there is.
        """
        try:
            report = await self.sandbox.measure(spawner)
            level, *concerns = report.sentences()
            (log.info if report.level == "full" else log.warning)(level)
            for sentence in concerns:
                log.warning(sentence)
        finally:
            self.measured.set()

    def prompt(self, text: str) -> str:
        """What the agent is sent for ``text``."""
        return compose(text, chinese=self.settings.force_chinese, commands_allowed=self._takes_commands)

    def is_command(self, text: str) -> bool:
        """Whether the agent takes ``text`` for a command of its own, and may do it."""
        return self._takes_commands and is_command(text)

    @property
    def _takes_commands(self) -> bool:
        return self.settings.cli_commands == "allow" or (self.agent is not None and self.agent.commands)

    @contextmanager
    def launch(self, session_id: str, *, resume: bool) -> Iterator[Launch]:
        """Compose one turn; keep the context open until it has ended.

        :raises AgentUnavailable: when there is no agent.
        :raises StorageUnavailable: when the workspace cannot be opened.
        """
        if self.agent is None:
            raise AgentUnavailable(en=missing(self.settings))
        if self.sandbox.report.method == "unmeasured":
            raise AgentUnavailable(en="the sandbox could not be measured; the log says why")
        home = self.state.home(session_id)
        try:
            self._seed(self.agent, session_id)
            with self.sandbox.launch(
                self.agent.argv(resume=resume),
                self._environment(self.agent),
                self.state.workspace(session_id),
                home,
            ) as launch:
                yield launch
        except OSError as error:
            raise storage_error(error) from error

    @property
    def has_records(self) -> bool:
        """Whether the agent keeps an exact record of its turns."""
        return self.agent is not None and bool(self.agent.database)

    @contextmanager
    def reading(self, session_id: str) -> Iterator[Launch]:
        """Compose the program that reads the agent's record; its source comes by stdin."""
        assert self.agent is not None
        home, workspace = self.state.home(session_id), self.state.workspace(session_id)
        argv = [sys.executable, "-I", "-S", "-", self.agent.database, str(workspace)]
        with self.sandbox.launch(argv, {}, workspace, home, visible=interpreter_paths()) as launch:
            yield launch

    def _seed(self, agent: Agent, session_id: str) -> None:
        """Prepare the HOME, once: after the first turn it is the agent's, and nothing in it is trusted."""
        if agent.seed is None or not self.state.mark_seeded(session_id):
            return
        try:
            agent.seed(self.state.home(session_id), self.settings.inherited)
        except (OSError, sqlite3.Error) as error:
            # The CLI itself says it best: that it is not logged in.
            log.error("login not copied", session_id=session_id, error=str(error))

    def _environment(self, agent: Agent) -> Mapping[str, str]:
        own = {
            name: value
            for name, value in self.settings.inherited.items()
            if name.upper() in PASSED_ON or name.startswith(PASSED_ON_PREFIXES) or name in agent.environment
        }
        return {"AWS_DEFAULT_REGION": self.settings.aws_default_region, **own}
