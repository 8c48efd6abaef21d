"""Rows in, values out: sessions, turns and request keys in SQLite.

Methods that read are plain calls on the event loop; methods that write return when the change is
committed. Each write is one transaction, so whatever it checks first still holds when it acts.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, Literal

from attrs import astuple, define, frozen

from qchat.adapters.database import Database
from qchat.errors import Conflict, Overloaded, SessionBusy, SessionNotFound
from qchat.model.session import Session
from qchat.model.turn import Ending, Form, Output, Turn

SESSION = "id, created, last_activity, message_count, idle, expired, title, pinned, expires_in"
IDLE = (
    "NOT expired AND NOT pinned AND idle >= coalesce(expires_in, ?) AND NOT EXISTS (SELECT 1 FROM turns"
    " WHERE session_id = sessions.id AND state IN ('queued', 'running'))"
)
TURN = (
    "session_id, number, prompt, request_key, state, created, started, form, output,"
    " ended, exit, bytes, sha256, code, detail, answered"
)
Repeat = Literal["never", "timed_out", "any"]
REPEAT_SECONDS = 30


@frozen(kw_only=True)
class Submission:
    """A prompt on its way to become a turn; see :meth:`Store.begin_turn`."""

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
    repeat: Repeat
    """Which turns with the same prompt, running or just ended, a submission without a key joins."""
    form: Form
    output: Output
    now: float
    idle: float


@define(eq=False)
class Store:
    """The rows of a running service."""

    db: Database

    # Sessions

    def session(self, session_id: str) -> Session:
        """:raises SessionNotFound: also for one that has expired."""
        found = _session(self.db.reader, session_id)
        if found is None or found.expired:
            raise SessionNotFound()
        return found

    def sessions(self, limit: int, before: tuple[float, str] | None = None) -> list[Session]:
        """Sessions that have not expired, newest first, older than the place ``before`` (created, id)."""
        rows = self.db.reader.execute(
            f"SELECT {SESSION} FROM sessions WHERE NOT expired AND (created, id) < (?, ?)"
            " ORDER BY created DESC, id DESC LIMIT ?",
            (*(before or (float("inf"), "")), limit),
        )
        return [_to_session(row) for row in rows]

    def find_session(self, session_id: str) -> Session | None:
        """The row, also of a session that has expired."""
        return _session(self.db.reader, session_id)

    def all_sessions(self) -> Iterator[Session]:
        """Every row, also of sessions that have expired."""
        return map(_to_session, self.db.reader.execute(f"SELECT {SESSION} FROM sessions").fetchall())

    def count_sessions(self) -> int:
        row = self.db.reader.execute("SELECT count(*) FROM sessions WHERE NOT expired").fetchone()
        return int(row[0])

    async def add_sessions(self, sessions: list[Session]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                f"INSERT OR IGNORE INTO sessions ({SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [astuple(session) for session in sessions],
            )

        await self.db.write(work)

    async def remove_session(self, session_id: str) -> bool:
        """Forget a session and its turns; false when there is none."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,)).rowcount > 0

        return await self.db.write(work)

    async def count_idle(self, seconds: float) -> None:
        """Add what has passed since the last sweep to every session's idle time."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE sessions SET idle = idle + ? WHERE NOT expired", (seconds,))

        await self.db.write(work)

    def idle_sessions(self, seconds: float) -> list[Session]:
        """Sessions idle for ``seconds``, or for their own time, and without an unfinished turn."""
        rows = self.db.reader.execute(f"SELECT {SESSION} FROM sessions WHERE {IDLE}", (seconds,))
        return [_to_session(row) for row in rows.fetchall()]

    async def expire(self, session_id: str, seconds: float, *, forget: bool) -> bool:
        """Expire a session if it still is one of :meth:`idle_sessions`.

        ``forget`` removes the row; else it stays, marked, for as long as the directory does.
        """

        def work(connection: sqlite3.Connection) -> bool:
            change = "DELETE FROM sessions" if forget else "UPDATE sessions SET expired = 1"
            return connection.execute(f"{change} WHERE {IDLE} AND id = ?", (seconds, session_id)).rowcount > 0

        return await self.db.write(work)

    async def change_session(self, session_id: str, changes: dict[str, Any]) -> bool:
        """Set columns of a session, named as in :class:`Session`; false when there is none."""

        def work(connection: sqlite3.Connection) -> bool:
            assignments = ", ".join(f"{name} = ?" for name in changes) or "id = id"
            where = "WHERE id = ? AND NOT expired"
            changed = connection.execute(
                f"UPDATE sessions SET {assignments} {where}", (*changes.values(), session_id)
            )
            return changed.rowcount > 0

        return await self.db.write(work)

    async def touch(self, session_id: str, now: float, idle: float) -> None:
        """Note activity."""

        def work(connection: sqlite3.Connection) -> None:
            _touch(connection, session_id, now, idle, messages=0)

        await self.db.write(work)

    # Turns

    def turn(self, session_id: str, number: int) -> Turn | None:
        return _turn(self.db.reader, session_id, number)

    def last_turn(self, session_id: str) -> Turn | None:
        return _one_turn(self.db.reader, "session_id = ? ORDER BY number DESC LIMIT 1", session_id)

    def turns(self, session_id: str, after: int = 0, limit: int = 100) -> list[Turn]:
        """In order, those with a number above ``after``."""
        where = "session_id = ? AND number > ? ORDER BY number LIMIT ?"
        return _turns(self.db.reader, where, session_id, after, limit)

    def unfinished_turns(self, session_id: str | None = None) -> list[Turn]:
        """All that run or wait, of one session or of all, in the order of submission."""
        where = "state IN ('queued', 'running') AND (?1 IS NULL OR session_id = ?1) ORDER BY created, number"
        return _turns(self.db.reader, where, session_id)

    def has_run_before(self, turn: Turn) -> bool:
        """Whether an earlier turn of the session came so far as to start."""
        where = "SELECT 1 FROM turns WHERE session_id = ? AND number < ? AND started IS NOT NULL LIMIT 1"
        return self.db.reader.execute(where, (turn.session_id, turn.number)).fetchone() is not None

    def caller_turn(self, caller_key: tuple[str, str]) -> tuple[str, int] | None:
        """(session, number) of the turn that a request key without a session has named."""
        return _caller_turn(self.db.reader, caller_key)

    async def begin_turn(self, submission: Submission) -> tuple[Turn, bool]:
        """Insert a turn, or find the one that the submission repeats: (turn, whether it is new).

        :raises SessionNotFound:
        :raises Conflict: the request key belongs to another prompt.
        :raises SessionBusy: another turn is unfinished, and the submission does not wait.
        """
        return await self.db.write(lambda connection: _begin_turn(connection, submission))

    async def start_turn(self, session_id: str, number: int, now: float) -> bool:
        """Mark a queued turn as running; false when it is not queued any more."""

        def work(connection: sqlite3.Connection) -> bool:
            return (
                connection.execute(
                    "UPDATE turns SET state = 'running', started = ?"
                    " WHERE session_id = ? AND number = ? AND state = 'queued'",
                    (now, session_id, number),
                ).rowcount
                > 0
            )

        return await self.db.write(work)

    async def end_turn(self, session_id: str, number: int, ending: Ending, idle: float) -> Turn | None:
        """Write how a turn ended, unless that has been written; the row as it then is."""

        def work(connection: sqlite3.Connection) -> Turn | None:
            changed = connection.execute(
                "UPDATE turns SET state = ?, ended = ?, exit = ?, bytes = ?, sha256 = ?, code = ?,"
                " detail = ?, answered = ?"
                " WHERE session_id = ? AND number = ? AND state IN ('queued', 'running')",
                (
                    *(ending.reason, ending.ended, ending.exit, ending.bytes, ending.sha256, ending.code),
                    *(ending.detail, ending.answered, session_id, number),
                ),
            )
            if changed.rowcount:
                _touch(connection, session_id, ending.ended, idle, messages=int(ending.answered))
            return _turn(connection, session_id, number)

        return await self.db.write(work)


def _begin_turn(connection: sqlite3.Connection, new: Submission) -> tuple[Turn, bool]:
    if repeated := _repeated(connection, new):
        if repeated.prompt != new.prompt:
            raise Conflict(turn=repeated.number)
        return repeated, False
    session = _session(connection, new.session_id)
    if session is None or session.expired:
        raise SessionNotFound()
    busy = _one_turn(
        connection,
        "session_id = ? AND state IN ('queued', 'running') ORDER BY number LIMIT 1",
        new.session_id,
    )
    if busy and not new.wait:
        raise SessionBusy(turn=busy.number)
    running = new.start and not busy
    if not running and not new.room:
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
    _touch(connection, new.session_id, new.now, new.idle, messages=1)
    turn = _turn(connection, new.session_id, number)
    assert turn is not None
    return turn, True


def _repeated(connection: sqlite3.Connection, new: Submission) -> Turn | None:
    """The turn that ``new`` names or repeats, if there is one."""
    if new.caller_key and (named := _caller_turn(connection, new.caller_key)):
        found = _turn(connection, *named)
        if found is None:  # the session was deleted; its key must not start anything
            raise SessionNotFound()
        return found
    if new.request_key is not None:
        return _one_turn(connection, "session_id = ? AND request_key = ?", new.session_id, new.request_key)
    if new.repeat == "never":
        return None
    last = _turns(connection, "session_id = ? ORDER BY number DESC LIMIT 10", new.session_id)
    return next((turn for turn in last if _is_repeat(turn, new)), None)


def _is_repeat(turn: Turn, new: Submission) -> bool:
    if turn.prompt != new.prompt:
        return False
    if turn.ending is None:
        return new.repeat == "any"
    recent = 0 <= new.now - turn.ending.ended < REPEAT_SECONDS
    return recent and new.repeat in ("any", turn.state)


def _touch(connection: sqlite3.Connection, session_id: str, now: float, idle: float, messages: int) -> None:
    connection.execute(
        "UPDATE sessions SET last_activity = ?, idle = ?, message_count = message_count + ? WHERE id = ?",
        (now, idle, messages, session_id),
    )


def _session(connection: sqlite3.Connection, session_id: str) -> Session | None:
    row = connection.execute(f"SELECT {SESSION} FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return _to_session(row) if row else None


def _to_session(row: tuple[Any, ...]) -> Session:
    names = SESSION.split(", ")
    values = dict(zip(names, row, strict=True))
    return Session(**{**values, "expired": bool(values["expired"]), "pinned": bool(values["pinned"])})


def _caller_turn(connection: sqlite3.Connection, caller_key: tuple[str, str]) -> tuple[str, int] | None:
    found: tuple[str, int] | None = connection.execute(
        "SELECT session_id, number FROM caller_keys WHERE caller = ? AND request_key = ?", caller_key
    ).fetchone()
    return found


def _turn(connection: sqlite3.Connection, session_id: str, number: int) -> Turn | None:
    return _one_turn(connection, "session_id = ? AND number = ?", session_id, number)


def _one_turn(connection: sqlite3.Connection, where: str, *values: object) -> Turn | None:
    return next(iter(_turns(connection, where, *values)), None)


def _turns(connection: sqlite3.Connection, where: str, *values: object) -> list[Turn]:
    rows = connection.execute(f"SELECT {TURN} FROM turns WHERE {where}", values).fetchall()
    return [_to_turn(row) for row in rows]


def _to_turn(row: tuple[Any, ...]) -> Turn:
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
