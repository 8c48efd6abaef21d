"""The agents that need no account: the built-in one, and any program that reads a prompt and writes text."""

import shlex
import shutil
import sys
from pathlib import Path

import qchat
from qchat.adapters.agents.agent import Agent


def find_local(model: Path | None) -> Agent:
    """The built-in agent; its tools work without the language model."""
    package = Path(qchat.__file__).parent
    return Agent(
        name="local",
        command=(
            sys.executable,
            "-P",
            "-m",
            "qchat.localagent",
            "chat",
            "--no-interactive",
            "--trust-all-tools",
        ),
        resume_flag="--resume",
        commands=True,  # its tools: /run, /write, /read
        environment=frozenset({"QCHAT_LOCAL_MODEL", "PYTHONPATH"}),
        visible=(
            package,
            *(Path(prefix) for prefix in (sys.prefix, sys.base_prefix)),
            *([model.absolute()] if model else []),
        ),
    )


def find_command(line: str, path: str) -> Agent | None:
    """The program of a shell-like command line; None when it is not there.

    It sees its own file and what its arguments name by absolute paths; not its directory, which may
    be its operator's HOME.
    """
    program, *arguments = shlex.split(line)
    found = shutil.which(program, path=path)
    if found is None:
        return None
    command = Path(found).absolute()
    named = [Path(argument) for argument in arguments if argument.startswith("/")]
    return Agent(
        name="command",
        command=(str(command), *arguments),
        form="plain",
        commands=True,  # it decides for itself what a prompt means
        visible=(command, command.resolve(), *(path for path in named if path.exists())),
    )
