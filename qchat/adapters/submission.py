"""A prompt on its way to become a turn: refused, recognised as a repeat, or inserted; in one transaction."""

import sqlite3
from typing import Literal

from attrs import frozen

from qchat.adapters import rows
from qchat.errors import Conflict, Overloaded, SessionBusy, SessionNotFound
from qchat.model.turn import Form, Output, Turn

Repeat = Literal["never", "timed_out", "any"]
REPEAT_SECONDS = 30


@frozen(kw_only=True)
class Submission:
    """A prompt on its way to become a turn; see :func:`begin_turn`."""

    session_id: str
    prompt: str
    request_key: str | None
    caller_key: tuple[str, str] | None
    """(caller, request key) of a submission without a session, which is to name the session too."""
    wait: bool
    """Whether to wait behind another turn of the session instead of being refused."""
    start: bool
    """Whether it may run at once, as far as the rest of the service goes."""
    room: bool
    """Whether it may wait, as far as the rest of the service goes."""
    next: bool
    """Whether it follows a turn of its session that holds a place still. When that one has ended for all
    who watch, and is only being put away, this one waits for nothing else, and takes nobody's room."""
    repeat: Repeat
    """Which turns with the same prompt, running or just ended, a submission without a key joins."""
    form: Form
    output: Output
    now: float
    idle: float


def begin_turn(connection: sqlite3.Connection, new: Submission) -> tuple[Turn, bool]:
    """Insert a turn, or find the one that the submission repeats: (turn, whether it is new).

    :raises SessionNotFound:
    :raises Conflict: the request key belongs to another prompt.
    :raises SessionBusy: another turn is unfinished, and the submission does not wait.
    :raises Overloaded: it would have to wait, and there is no room.
    """
    if repeated := _repeated(connection, new):
        if repeated.prompt != new.prompt:
            raise Conflict(turn=repeated.number)
        return repeated, False
    session = rows.session(connection, new.session_id)
    if session is None or session.expired:
        raise SessionNotFound()
    busy = rows.one_turn(
        connection,
        "session_id = ? AND state IN ('queued', 'running') ORDER BY number LIMIT 1",
        new.session_id,
    )
    if busy and not new.wait:
        raise SessionBusy(turn=busy.number)
    running = new.start and not busy
    if not (running or new.room or (new.next and not busy)):
        raise Overloaded()
    (number,) = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM turns WHERE session_id = ?", (new.session_id,)
    ).fetchone()
    connection.execute(
        "INSERT INTO turns (session_id, number, prompt, request_key, state, created, started, form, output)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(new.session_id, number, new.prompt, new.request_key, "running" if running else "queued"),
            *(new.now, new.now if running else None, new.form, new.output),
        ),
    )
    if new.caller_key:
        connection.execute(
            "INSERT INTO caller_keys VALUES (?, ?, ?, ?)", (*new.caller_key, new.session_id, number)
        )
    rows.touch(connection, new.session_id, new.now, new.idle, messages=1)
    turn = rows.turn(connection, new.session_id, number)
    assert turn is not None
    return turn, True


def _repeated(connection: sqlite3.Connection, new: Submission) -> Turn | None:
    """The turn that ``new`` names or repeats, if there is one."""
    if new.caller_key and (named := rows.caller_turn(connection, new.caller_key)):
        found = rows.turn(connection, *named)
        if found is None:  # the session was deleted; its key must not start anything
            raise SessionNotFound()
        return found
    if new.request_key is not None:
        return rows.one_turn(
            connection, "session_id = ? AND request_key = ?", new.session_id, new.request_key
        )
    if new.repeat == "never":
        return None
    last = rows.turns(connection, "session_id = ? ORDER BY number DESC LIMIT 10", new.session_id)
    return next((turn for turn in last if _is_repeat(turn, new)), None)


def _is_repeat(turn: Turn, new: Submission) -> bool:
    if turn.prompt != new.prompt:
        return False
    if turn.ending is None:
        return new.repeat == "any"
    recent = 0 <= new.now - turn.ending.ended < REPEAT_SECONDS
    return recent and new.repeat in ("any", turn.state)
