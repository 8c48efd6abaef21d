"""Rows as values: which columns make a session and a turn, and the queries that others build on."""

import sqlite3
from typing import Any

from qchat.model.session import Session
from qchat.model.turn import Ending, Turn

SESSION = "id, created, last_activity, message_count, idle, expired, title, pinned, expires_in, owner"
TURN = (
    "session_id, number, prompt, request_key, state, created, started, form, output,"
    " ended, exit, bytes, sha256, code, detail, answered"
)


def touch(connection: sqlite3.Connection, session_id: str, now: float, idle: float, messages: int) -> None:
    """Note activity, and how many messages it brought."""
    connection.execute(
        "UPDATE sessions SET last_activity = ?, idle = ?, message_count = message_count + ? WHERE id = ?",
        (now, idle, messages, session_id),
    )


def session(connection: sqlite3.Connection, session_id: str) -> Session | None:
    row = connection.execute(f"SELECT {SESSION} FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return to_session(row) if row else None


def to_session(row: tuple[Any, ...]) -> Session:
    names = SESSION.split(", ")
    values = dict(zip(names, row, strict=True))
    return Session(**{**values, "expired": bool(values["expired"]), "pinned": bool(values["pinned"])})


def caller_turn(connection: sqlite3.Connection, caller_key: tuple[str, str]) -> tuple[str, int] | None:
    found: tuple[str, int] | None = connection.execute(
        "SELECT session_id, number FROM caller_keys WHERE caller = ? AND request_key = ?", caller_key
    ).fetchone()
    return found


def turn(connection: sqlite3.Connection, session_id: str, number: int) -> Turn | None:
    return one_turn(connection, "session_id = ? AND number = ?", session_id, number)


def one_turn(connection: sqlite3.Connection, where: str, *values: object) -> Turn | None:
    return next(iter(turns(connection, where, *values)), None)


def turns(connection: sqlite3.Connection, where: str, *values: object) -> list[Turn]:
    """The turns that ``where`` selects, and orders and limits."""
    rows = connection.execute(f"SELECT {TURN} FROM turns WHERE {where}", values).fetchall()
    return [to_turn(row) for row in rows]


def to_turn(row: tuple[Any, ...]) -> Turn:
    session_id, number, prompt, key, state, created, started, form, output, *end = row
    ending = None
    if state not in ("queued", "running"):
        ended, exit_code, size, sha256, code, detail, answered = end
        ending = Ending(
            reason=state,
            ended=ended,
            exit=exit_code,
            bytes=size,
            sha256=sha256,
            code=code,
            detail=detail,
            answered=bool(answered),
        )
    return Turn(
        session_id=session_id,
        number=number,
        prompt=prompt,
        request_key=key,
        state=state,
        created=created,
        started=started,
        form=form,
        output=output,
        ending=ending,
    )
