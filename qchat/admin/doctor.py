"""``doctor``: whether everything is in order, a line each, and what to do where it is not."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qchat
from qchat.adapters.control import Control, ControlError
from qchat.adapters.statedir import AlreadyRunning, StateDir
from qchat.adapters.tokens import TokensError, TokensFile
from qchat.admin import agentcheck
from qchat.admin.line import Line, Status
from qchat.admin.output import Output, plural, size
from qchat.errors import QchatError
from qchat.settings import Settings, SettingsError, in_force

ENOUGH_BYTES, SCARCE_BYTES = 1024**3, 64 * 1024**2
ENOUGH_FILES = 10_000
GOOD_SQLITE = (3, 51, 3)


def doctor(out: Output) -> int:
    lines: list[Line] = []
    settings: dict[str, str] = {}
    with out.progress() as progress:
        for line in _examine(settings):
            lines.append(line)
            progress("examining", len(lines), len(lines) + 1)
    failed = any(line.status == "fail" for line in lines)
    out.data({"ok": not failed, "checks": [line.to_json() for line in lines], "settings": settings})
    for line in lines:
        out.line(f"{line.status:5} {line.subject:10} {line.text}")
        if line.advice:
            out.line(f"{'':16} -> {line.advice}")
    for name, value in settings.items():
        out.line(f"{'ok':5} {'setting':10} {name}={value}")
    return int(failed)


def _examine(shown_settings: dict[str, str]) -> Iterator[Line]:
    yield Line("ok", "version", f"qchat {qchat.__version__}")
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        yield Line("fail", "settings", str(error), "correct this variable; nothing else was looked at")
        return
    shown_settings.update(in_force(settings))
    base = settings.sessions_base_dir
    try:
        state = StateDir.find(base)
    except QchatError as error:
        yield _missing_base(base, error)
        yield from agentcheck.agent(settings, None)
        return
    yield _writable(state)
    yield from _room(state.base)
    yield _sqlite()
    yield _access(settings)
    status: dict[str, Any] | None = None
    for line, status in _server(state):  # noqa: B007  # the last one counts
        yield line
    if status:
        shown_settings.update(status["settings"])
    yield from agentcheck.agent(settings, status)
    yield from agentcheck.isolation(settings, state, status)
    if settings.log_file:
        yield _log_file(settings.log_file)


def _missing_base(base: Path, error: QchatError) -> Line:
    parent = next(path for path in base.absolute().parents if path.exists())
    if not os.path.lexists(base) and os.access(parent, os.W_OK | os.X_OK):
        return Line(
            "ok", "directory", f"{base.absolute()} (SESSIONS_BASE_DIR) will be made when the server starts"
        )
    return Line("fail", "directory", str(error), "let SESSIONS_BASE_DIR name a directory that can be written")


def _writable(state: StateDir) -> Line:
    for path in (state.base, state.private):
        if not path.exists():
            continue
        try:
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            advice = f"run this, and the server, as the owner of {path}, or make it writable"
            return Line("fail", "directory", f"{path} cannot be written: {error.strerror}", advice)
    return Line("ok", "directory", f"{state.base.absolute()} can be written (SESSIONS_BASE_DIR)")


def _room(base: Path) -> Iterator[Line]:
    room = os.statvfs(base)
    free = room.f_bavail * room.f_frsize
    text = f"{size(free)} free of {size(room.f_blocks * room.f_frsize)}"
    status: Status = "ok" if free >= ENOUGH_BYTES else "warn" if free >= SCARCE_BYTES else "fail"
    advice = "" if status == "ok" else "make room: qchat-admin cleanup-old removes what has expired"
    yield Line(status, "disk", text, advice)
    if room.f_files and room.f_favail < ENOUGH_FILES:
        text = f"{plural(room.f_favail, 'more file')} can be made"
        yield Line("warn", "disk", text, "the file system runs out of inodes: remove small files")


def _access(settings: Settings) -> Line:
    """Who may use the service. Tokens are counted, never shown."""
    if not settings.access_control:
        return Line("ok", "access", "no tokens: everybody on this machine may use the service")
    ways = ["QCHAT_TOKEN"] if settings.token else []
    if settings.user_header:
        ways.append(f"the users that proxies name in {settings.user_header}")
    if settings.tokens_file:
        try:
            tokens = TokensFile(settings.tokens_file).load()
        except TokensError as error:
            advice = "qchat-admin token add makes it; until it is right, it lets nobody in"
            return Line("fail", "access", str(error), advice)
        expired = sum(token.expired(time.time()) for token in tokens)
        ways.append(
            f"{plural(len(tokens), 'token')} in {settings.tokens_file}"
            + (f" ({expired} of them expired)" if expired else "")
        )
    return Line("ok", "access", ", ".join(ways))


def _sqlite() -> Line:
    import sqlite3  # noqa: PLC0415  # nothing else here needs it

    if sqlite3.sqlite_version_info >= GOOD_SQLITE:
        return Line("ok", "sqlite", f"SQLite {sqlite3.sqlite_version}")
    return Line(
        "warn",
        "sqlite",
        f"SQLite {sqlite3.sqlite_version} has a bug that can damage a database which two connections write",
        "the service writes with one only: let no other program write qchat.db, or use SQLite 3.51.3",
    )


def _server(state: StateDir) -> Iterator[tuple[Line, dict[str, Any] | None]]:
    control = Control.connect(state)
    if control is None:
        yield _no_server(state), None
        return
    try:
        status = control.status()
    except ControlError as error:
        yield Line("fail", "server", str(error), "look into its log; restart it if it hangs"), None
        return
    yield (
        Line(
            "ok",
            "server",
            f"process {status['pid']}: {plural(status['sessions'], 'session')},"
            f" {plural(status['running_turns'], 'turn')} running, {status['queued_turns']} waiting",
        ),
        status,
    )
    if status["version"] != qchat.__version__:
        text = f"the server that runs is version {status['version']}"
        yield Line("warn", "server", text, "restart it, or use its own qchat-admin"), status


def _no_server(state: StateDir) -> Line:
    if not state.private.is_dir():
        return Line("ok", "server", "not running; it has never run here")
    try:
        state.lock(wait=0)
    except AlreadyRunning as error:
        return Line("warn", "server", str(error), "it has no control socket: it starts or stops, or hangs")
    except OSError as error:
        return Line("fail", "server", f"the lock cannot be looked at: {error.strerror}")
    state.unlock()
    return Line("ok", "server", "not running")


def _log_file(path: Path) -> Line:
    place = path if path.exists() else path.parent
    if os.access(place, os.W_OK) or not path.parent.exists():
        return Line("ok", "log", f"{path}")
    return Line("fail", "log", f"{path} cannot be written", "let QCHAT_LOG_FILE name a file that can be")
