"""What the doctor says of the agent and of what keeps it in."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from qchat.adapters.agents import PROGRAMS, find_agent, missing
from qchat.adapters.launcher import Launcher
from qchat.adapters.process import Spawner
from qchat.adapters.report import Report
from qchat.adapters.sandbox import SandboxError
from qchat.adapters.statedir import AlreadyRunning, StateDir
from qchat.admin.line import Line
from qchat.errors import QchatError
from qchat.localagent import model
from qchat.settings import Settings

VERSION_SECONDS = 10.0
MEASURE_SECONDS = 90.0
AUTO = {
    "q": ": q is on the PATH",
    "kiro": ": kiro-cli is on the PATH, and q is not",
    "local": ": neither q nor kiro-cli is on the PATH",
}
"""Why QCHAT_AGENT=auto takes what it takes."""


def agent(settings: Settings, status: dict[str, Any] | None) -> Iterator[Line]:
    """The agent that the settings find, and what a running server found."""
    if status and not status["agent_available"]:
        yield Line("fail", "agent", f"the server has none: {status['agent']}", _how_to_get_one(settings))
    found = find_agent(settings)
    if found is None:
        text = f"QCHAT_AGENT={settings.agent}, but {missing(settings)}"
        yield Line("fail", "agent", text, _how_to_get_one(settings))
        return
    why = f"QCHAT_AGENT={settings.agent}" + (AUTO[found.name] if settings.agent == "auto" else "")
    if found.name == "local":
        yield _local(f"{found.description}; {why}")
        return
    if not found.version_flag:
        yield Line("ok", "agent", f"{found.description}; {why}")
        return
    command = [found.command[0], found.version_flag]
    version, trouble = version_of(command, settings.inherited.get("PATH", os.defpath))
    if version:
        yield Line("ok", "agent", f"{version} ({found.command[0]}); {why}")
    else:
        advice = f"run it by hand with {found.version_flag}; reinstall it if that fails as well"
        yield Line("fail", "agent", f"{found.command[0]} does not tell its version: {trouble}", advice)


def _how_to_get_one(settings: Settings) -> str:
    if settings.agent == "auto":
        return "install the Q CLI, or set QCHAT_AGENT=local"
    if settings.agent == "command":
        return "QCHAT_AGENT_COMMAND takes a program on the PATH of the server, or its absolute path"
    program = PROGRAMS[settings.agent]
    return f"install {program}, see to it that the PATH of the server has it, or set QCHAT_AGENT=auto"


def _local(description: str) -> Line:
    try:
        return Line("ok", "agent", f"{description} ({model.find().name})")
    except (model.NotInstalledError, model.ModelError) as error:
        return Line("warn", "agent", f"{description}: {error}", "qchat-admin local-model install")


def version_of(command: Sequence[str], path: str, seconds: float = VERSION_SECONDS) -> tuple[str, str]:
    """(the first line that a command prints, why there is none). Bounded in time."""
    with tempfile.TemporaryDirectory(prefix="qchat-doctor-") as home:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={"PATH": path, "HOME": home, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            return "", str(error.strerror)
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "", f"it did not end within {seconds:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
    lines = said.decode(errors="replace").strip().splitlines()
    if process.returncode or not lines:
        return "", f"exit code {process.returncode}" + (f": {lines[-1][:200]}" if lines else "")
    return lines[0][:200], ""


def isolation(settings: Settings, state: StateDir, status: dict[str, Any] | None) -> Iterator[Line]:
    """How well sessions are kept apart: as the server measured it, or measured now."""
    if status:
        yield _level(status["isolation"]["level"], status["isolation"]["sentences"])
        return
    try:
        StateDir.open(state.base)
        state.lock(wait=0)
    except (AlreadyRunning, QchatError, OSError):
        return  # said already, and the canaries of two would meet
    try:
        report = asyncio.run(_measure(settings, state))
        yield _level(report.level, report.sentences())
    except (SandboxError, QchatError, OSError, TimeoutError) as error:
        advice = "docs/security.md says what it needs"
        yield Line("fail", "isolation", str(error) or "it could not be measured in time", advice)
    finally:
        state.unlock()


async def _measure(settings: Settings, state: StateDir) -> Report:
    launcher = Launcher.create(settings, state)
    spawner = Spawner(inherit=(state.lock_fd,), confinement=launcher.sandbox.confinement)
    spawner.start()
    try:
        async with asyncio.timeout(MEASURE_SECONDS):
            return await launcher.sandbox.measure(spawner)
    finally:
        spawner.stop()


def _level(level: str, sentences: Sequence[str]) -> Line:
    first, *more = sentences
    return Line("ok" if level == "full" and not more else "warn", "isolation", first, "; ".join(more))
