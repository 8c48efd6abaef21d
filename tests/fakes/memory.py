"""The stand-in's database under HOME, with the tables and the JSON of the real CLI's."""

import json
import os
import time
from pathlib import Path
from typing import Any

# The standard library's SQLite takes longer to import than all the rest: only who remembers pays.

TABLES = [
    f"CREATE TABLE IF NOT EXISTS {table}"
    for table in (
        "migrations (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, migration_time INTEGER NOT NULL)",
        "auth_kv (key TEXT PRIMARY KEY, value TEXT)",
        "state (key TEXT PRIMARY KEY, value BLOB)",
        "conversations (key TEXT PRIMARY KEY, value TEXT)",
    )
]

Entry = dict[str, Any]


def directory() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path(os.environ["HOME"]) / ".local" / "share"
    return Path(base) / "amazon-q"


def load() -> list[Entry]:
    """The history of this directory's conversation."""
    import sqlite3  # noqa: PLC0415

    path = directory() / "data.sqlite3"
    if not path.exists():
        return []
    with sqlite3.connect(path) as connection:
        for statement in TABLES:
            connection.execute(statement)
        query = "SELECT value FROM conversations WHERE key = ?"
        rows = connection.execute(query, (os.getcwd(),)).fetchall()
    connection.close()
    return list(json.loads(rows[0][0])["history"]) if rows else []


def save(history: list[Entry]) -> None:
    """Keep the history as this directory's conversation."""
    import sqlite3  # noqa: PLC0415

    directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    value = json.dumps({"conversation_id": "c0", "next_message": None, "history": history})
    with sqlite3.connect(directory() / "data.sqlite3") as connection:
        for statement in TABLES:
            connection.execute(statement)
        connection.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?)", (os.getcwd(), value))
    connection.close()


def entry(user: Entry, answer: str, uses: list[Entry]) -> Entry:
    """One exchange with the model: what it was sent, what it said and what it asked for."""
    now = int(time.time() * 1000)
    said: Entry = {"message_id": f"m{now}", "content": answer}
    return {
        "user": {
            "additional_context": "",
            "env_context": {},
            "content": user,
            "timestamp": None,
            "images": None,
        },
        "assistant": {"ToolUse": {**said, "tool_uses": uses}} if uses else {"Response": said},
        "request_metadata": {
            "request_id": "r0",
            "message_id": f"m{now}",
            "request_start_timestamp_ms": now,
            "stream_end_timestamp_ms": now,
            "time_to_first_chunk": {"secs": 0, "nanos": 120_000_000},
            "model_id": "claude-sonnet-4",
        },
    }


def prompt(text: str) -> Entry:
    return {"Prompt": {"prompt": text}}


def results(found: list[tuple[str, object, bool]]) -> Entry:
    """What tools returned: (id, result, whether it succeeded)."""
    return {
        "ToolUseResults": {
            "tool_use_results": [
                {
                    "tool_use_id": name,
                    "content": [{"Text": value} if isinstance(value, str) else {"Json": value}],
                    "status": "Success" if ok else "Error",
                }
                for name, value, ok in found
            ]
        }
    }


def logged_in() -> bool:
    import sqlite3  # noqa: PLC0415

    path = directory() / "data.sqlite3"
    if not path.exists():
        return False
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT count(*) FROM auth_kv").fetchone()
    connection.close()
    return bool(rows[0])
