"""The agent CLIs: how each is found, started and read.

============ ========= ======= ============ ========== =====================================
name         resume    tools   exit codes   commands   login
============ ========= ======= ============ ========== =====================================
q            yes       cards   0 on failure escaped    ``auth_kv`` in its SQLite file; AWS_*
kiro         yes       cards   as q         escaped    the same; ``KIRO_API_KEY``
local        yes       cards   plain        its tools  none
command      no        none    plain        as it is   none
============ ========= ======= ============ ========== =====================================
"""

import shlex

from qchat.adapters.agents.agent import Agent
from qchat.adapters.agents.amazon import find_kiro, find_q
from qchat.adapters.agents.local import find_command, find_local
from qchat.settings import Settings

__all__ = ["Agent", "find_agent", "missing"]

PROGRAMS = {"q": "q", "kiro": "kiro-cli"}


def find_agent(settings: Settings) -> Agent | None:
    """The agent that the settings ask for; None when it is not there."""
    path = settings.inherited.get("PATH", "")
    model = settings.local_model
    match settings.agent:
        case "q":
            return find_q(path)
        case "kiro":
            return find_kiro(path)
        case "local":
            return find_local(model)
        case "command":
            return find_command(settings.agent_command, path)
        case _:
            return find_q(path) or find_kiro(path) or find_local(model)


def missing(settings: Settings) -> str:
    """What there is to say when the agent that the settings ask for is not there."""
    if settings.agent == "command":
        return f"{shlex.split(settings.agent_command)[0]} (QCHAT_AGENT_COMMAND) is no program on the PATH"
    return f"{PROGRAMS.get(settings.agent, settings.agent)} is not on the PATH"
