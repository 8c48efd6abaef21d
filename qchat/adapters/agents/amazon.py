"""The Amazon Q Developer CLI and its successor Kiro: one lineage, two names.

Kiro has not been run here: what is said of it follows its documentation and its descent.
"""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from qchat.adapters.agents.agent import Agent

CHAT = ("chat", "--no-interactive", "--trust-all-tools", "--wrap", "never")
LOGIN_TABLES = ("auth_kv", "migrations")
LOGIN_STATE = "api.codewhisperer.profile"
"""The profile that a paid login was made for; without it Q asks for one."""
QUIET = {
    "chat.greeting.enabled": False,
    "chat.enableNotifications": False,
    "telemetry.enabled": False,
}
KEPT_SETTINGS = ("telemetry.enabled", "chat.defaultModel")
"""What the operator has chosen holds for sessions, too."""


def find_q(path: str) -> Agent | None:
    """``q`` on the PATH. Q's own second program, ``qchat``, is neither it nor ours."""
    return _find("q", "q", "amazon-q", path, frozenset())


def find_kiro(path: str) -> Agent | None:
    """``kiro-cli`` on the PATH."""
    return _find("kiro", "kiro-cli", "kiro-cli", path, frozenset({"KIRO_API_KEY"}))


def _find(name: str, program: str, data: str, path: str, environment: frozenset[str]) -> Agent | None:
    found = shutil.which(program, path=path)
    if found is None:
        return None
    command = Path(found).absolute()
    # Its companions stand beside it, and both may be links.
    visible = {command.parent, command.resolve().parent}
    return Agent(
        name=name,
        command=(str(command), *CHAT),
        resume_flag="--resume",
        version_flag="--version",
        environment=environment,
        visible=tuple(sorted(visible)),
        database=f".local/share/{data}/data.sqlite3",
        seed=partial(seed, data),
    )


def seed(data: str, home: Path, environment: Mapping[str, str]) -> None:
    """Make a HOME that holds the operator's login and settings, and nothing else of the operator's.

    Q keeps tokens and every conversation in one SQLite file, so that file is never copied whole: the
    new one has its schema and the rows of the login.

    :raises OSError: when the HOME cannot be written.
    :raises sqlite3.Error: when the operator's database cannot be read.
    """
    own = data_directory(data, environment)
    target = home / ".local" / "share" / data
    target.mkdir(parents=True, mode=0o700)
    (target / "settings.json").write_text(json.dumps({**QUIET, **_kept(own / "settings.json")}))
    if (own / "data.sqlite3").exists():
        with (
            closing(sqlite3.connect(f"{(own / 'data.sqlite3').as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target / "data.sqlite3")) as copy,
            copy,
        ):
            copy_login(source, copy)


def data_directory(data: str, environment: Mapping[str, str]) -> Path:
    """Where the operator's own CLI keeps its data."""
    base = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '/')}/.local/share"
    return Path(base).absolute() / data


def copy_login(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Copy the schema and the rows of the login."""
    tables = source.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, rowid"  # tables before their indexes
    ).fetchall()
    for _, statement in tables:
        copy.execute(statement)
    names = {name for name, _ in tables}
    for table in sorted(names.intersection(LOGIN_TABLES)):
        _copy_rows(source, copy, table, f"SELECT * FROM {table}")
    if "state" in names:
        _copy_rows(source, copy, "state", "SELECT * FROM state WHERE key = ?", LOGIN_STATE)


def _copy_rows(
    source: sqlite3.Connection, copy: sqlite3.Connection, table: str, query: str, *values: str
) -> None:
    for row in source.execute(query, values):
        copy.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _kept(settings: Path) -> dict[str, object]:
    try:
        found = json.loads(settings.read_text())
    except (OSError, ValueError):
        return {}
    return {name: found[name] for name in KEPT_SETTINGS if isinstance(found, dict) and name in found}
