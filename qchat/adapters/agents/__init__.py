"""PROVISIONAL by the lead: replace by the real adapters; Launcher uses exactly these names."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

import qchat
from qchat.model.turn import Form
from qchat.settings import Settings

FLAGS = ("chat", "--no-interactive", "--trust-all-tools", "--wrap", "never")


@frozen(kw_only=True)
class Agent:
    name: str
    command: tuple[str, ...]
    description: str
    form: Form = "q"
    commands: bool = False
    """Whether a prompt that looks like a command of the CLI is meant as one."""
    environment: frozenset[str] = frozenset()
    """Variables that it needs of the service's environment."""
    visible: tuple[Path, ...] = ()
    """What it has to be able to read, besides the system's directories."""

    def argv(self, *, resume: bool) -> Sequence[str]:
        return [*self.command, *FLAGS, *(["--resume"] if resume else [])]

    def seed(self, home: Path) -> None:
        """Make the HOME what the agent needs."""


def find_agent(settings: Settings) -> Agent | None:
    """The agent that the settings ask for; None when it is not there."""
    path = settings.inherited.get("PATH")
    for name, program in (("q", "q"), ("kiro", "kiro-cli")):
        if settings.agent in ("auto", name) and (found := shutil.which(program, path=path)):
            visible = (Path(found).parent, Path(found).resolve())
            return Agent(name=name, command=(found,), description=found, visible=visible)
    if settings.agent not in ("auto", "local"):
        return None
    command = (sys.executable, "-P", "-m", "qchat.localagent")
    package = Path(qchat.__file__).parent
    return Agent(
        name="local",
        command=command,
        description="the built-in demo agent, a small local model",
        commands=True,
        environment=frozenset({"QCHAT_LOCAL_MODEL", "PYTHONPATH"}),
        visible=(package, Path(sys.prefix), Path(sys.base_prefix)),
    )
