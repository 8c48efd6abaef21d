"""What the service knows of an agent CLI."""

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from qchat.model.turn import Form

Seed = Callable[[Path, Mapping[str, str]], None]


@frozen(kw_only=True)
class Agent:
    """One agent CLI that has been found on this machine, and what it can do."""

    name: str
    """``q``, ``kiro``, ``local`` or ``command``."""
    command: tuple[str, ...]
    """The program, as an absolute path, and its arguments; the prompt goes to its stdin."""
    resume_flag: str = ""
    """What continues the conversation of the working directory; empty when it cannot."""
    version_flag: str = ""
    """What makes it print its version; empty when nothing is known to."""
    form: Form = "q"
    """How its output is read: as the Q CLI's terminal text, or as plain text."""
    commands: bool = False
    """Whether a prompt that looks like a command is meant as one."""
    environment: frozenset[str] = frozenset()
    """Variables that it needs of the service's environment, beyond those that every agent gets."""
    visible: tuple[Path, ...] = ()
    """What it has to be able to read, besides the system's directories."""
    database: str = ""
    """Where in HOME it keeps the exact record of conversations, for :mod:`.record`; empty when nowhere."""
    seed: Seed | None = None
    """Puts the operator's login and settings into a new private HOME, given the service's environment."""

    @property
    def description(self) -> str:
        """For the operator."""
        return "local, the built-in demo agent" if self.name == "local" else f"{self.name}, {self.command[0]}"

    def argv(self, *, resume: bool) -> list[str]:
        return [*self.command, *([self.resume_flag] if resume and self.resume_flag else [])]
