"""Reads the exact record of a conversation's last turn from the database of the Q CLI.

A program of its own, ``python -I -S record.py DATABASE KEY``, because the database is the agent's: it
runs with the agent's rights, or in its sandbox. DATABASE is a path beneath HOME. It follows no link,
waits for nothing, reads a copy in memory, and is bounded in size and time. Writes one JSON object, or
exits with 1 and says why.
"""

import json
import os
import resource
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

MAX_DATABASE = 64 * 1024 * 1024
MAX_CONVERSATION = 16 * 1024 * 1024
MAX_RECORD = 4 * 1024 * 1024
MAX_MEMORY = 1024 * 1024 * 1024
MAX_SECONDS = 5
TABLES = ("conversations", "conversations_v2")
_CUT = "[too long to be kept]"

Json = dict[str, Any]


class NoRecordError(Exception):
    """There is nothing that can be read; the text says why."""


def main() -> None:
    """Print the record of the conversation that the arguments name."""
    if len(sys.argv) != 3:
        sys.exit("usage: record.py DATABASE KEY")
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        # In a sandbox, HOME is not where it is outside.
        path = os.path.join(os.environ.get("HOME", ""), sys.argv[1])
        record = last_turn(conversation(read(path), sys.argv[2]))
        sys.stdout.write(encode(record))
    except (
        NoRecordError,
        OSError,
        sqlite3.Error,
        ValueError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ) as error:
        sys.exit(f"no record: {error or type(error).__name__}")


def read(path: str) -> bytes:
    """The database, if it is a plain file of bearable size."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_DATABASE:
            raise NoRecordError(f"{path} is no file of at most {MAX_DATABASE} bytes")
        data = bytearray(file.read(MAX_DATABASE))
    # In memory there can be no write-ahead log; without it, this is the last state that was checkpointed.
    data[18:20] = b"\x01\x01"
    return bytes(data)


def conversation(database: bytes, key: str) -> Json:
    """The conversation that is kept under ``key``, the path of its working directory."""
    connection = sqlite3.connect(":memory:")
    deadline = time.monotonic() + MAX_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CONVERSATION)
    connection.deserialize(database)
    connection.execute("PRAGMA trusted_schema = OFF")
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in TABLES:
        if table in names:
            query = f"SELECT value FROM {table} WHERE key = ? ORDER BY rowid DESC LIMIT 1"
            for (value,) in connection.execute(query, (key,)):
                found = json.loads(value)
                if isinstance(found, dict):
                    return found
    raise NoRecordError(f"no conversation for {key}")


def last_turn(found: Json) -> Json:
    """What was asked last, and all that was said and done about it."""
    entries = found.get("history")
    turn: list[Json] = []
    for entry in reversed(entries if isinstance(entries, list) else []):
        turn.insert(0, entry)
        if prompt_of(entry) is not None:
            break
    else:
        raise NoRecordError("the conversation has no prompt")
    results = {result["tool_use_id"]: result for entry in turn for result in results_of(entry)}
    said = [str(body.get("content", "")).strip("\n") for body in map(assistant, turn)]
    return {
        "prompt": prompt_of(turn[0]),
        "answer": "\n\n".join(part for part in said if part.strip()),
        "tools": [tool(use, results) for entry in turn for use in uses_of(entry)],
        "requests": [request(entry) for entry in turn],
    }


def user(entry: Json) -> Json:
    """The one variant of what the user, or a tool for the user, has sent."""
    content = entry["user"]["content"]
    return dict(next(iter(content.values())))


def assistant(entry: Json) -> Json:
    """The one variant of what the assistant has sent."""
    return dict(next(iter(entry["assistant"].values())))


def prompt_of(entry: Json) -> str | None:
    """The prompt of an entry that has one."""
    prompt = user(entry).get("prompt")
    return prompt if isinstance(prompt, str) else None


def results_of(entry: Json) -> Iterator[Json]:
    """The results of tools that an entry brings."""
    yield from user(entry).get("tool_use_results") or []


def uses_of(entry: Json) -> Iterator[Json]:
    """The tools that the assistant asks for in an entry."""
    yield from assistant(entry).get("tool_uses") or []


def tool(use: Json, results: Json) -> Json:
    """One use of a tool, with its result if it has come to one."""
    result = results.get(use["id"])
    blocks = [block for item in result["content"] for block in item.values()] if result else []
    return {
        "id": str(use["id"]),
        "name": str(use["name"]),
        "arguments": use.get("args"),
        "status": str(result["status"]).lower() if result else None,
        "result": blocks,
    }


def request(entry: Json) -> Json:
    """What is known of the request to the model that an entry was."""
    facts = entry.get("request_metadata") or {}
    first = facts.get("time_to_first_chunk") or {}
    return {
        "model": facts.get("model_id"),
        "started": _seconds(facts.get("request_start_timestamp_ms")),
        "ended": _seconds(facts.get("stream_end_timestamp_ms")),
        "first_seconds": first["secs"] + first["nanos"] / 1e9 if first else None,
    }


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int) else None


def encode(record: Json) -> str:
    """One line of JSON; what tools returned, and then what they were given, is left out of a long one."""
    for name in ("", "result", "arguments", "answer"):
        for place in [record] if name == "answer" else record["tools"]:
            if name:
                place[name] = _CUT
        line = json.dumps(record, ensure_ascii=False)
        if len(line.encode(errors="surrogatepass")) <= MAX_RECORD:
            return line
    raise NoRecordError("it is too long")


if __name__ == "__main__":
    try:
        main()
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        sys.exit(f"no record: the conversation is not of a known form: {error!r}")
