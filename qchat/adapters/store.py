"""Rows in, values out: sessions, turns and request keys in SQLite.

Methods that read are plain calls on the event loop; methods that write return when the change is
committed. Each write is one transaction, so whatever it checks first still holds when it acts.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

from attrs import astuple, define

from qchat.adapters import rows
from qchat.adapters.database import Database
from qchat.adapters.rows import SESSION
from qchat.adapters.submission import Submission, begin_turn
from qchat.errors import SessionNotFound
from qchat.model.session import Session
from qchat.model.turn import Ending, Turn

IDLE = (
    "NOT expired AND NOT pinned AND idle >= coalesce(expires_in, ?) AND NOT EXISTS (SELECT 1 FROM turns"
    " WHERE session_id = sessions.id AND state IN ('queued', 'running'))"
)


@define(eq=False)
class Store:
    """The rows of a running service."""

    db: Database

    # Sessions

    def session(self, session_id: str) -> Session:
        """:raises SessionNotFound: also for one that has expired."""
        found = rows.session(self.db.reader, session_id)
        if found is None or found.expired:
            raise SessionNotFound()
        return found

    def sessions(
        self, limit: int, before: tuple[float, str] | None = None, *, owner: str | None = None
    ) -> list[Session]:
        """Sessions that have not expired, newest first, older than the place ``before`` (created, id).

        ``owner`` None means everybody's.
        """
        own, owners = ("", ()) if owner is None else ("owner = ? AND ", (owner,))
        found = self.db.reader.execute(
            f"SELECT {SESSION} FROM sessions WHERE {own}expired = 0 AND (created, id) < (?, ?)"
            " ORDER BY created DESC, id DESC LIMIT ?",
            (*owners, *(before or (float("inf"), "")), limit),
        )
        return [rows.to_session(row) for row in found]

    def find_session(self, session_id: str) -> Session | None:
        """The row, also of a session that has expired."""
        return rows.session(self.db.reader, session_id)

    def all_sessions(self) -> Iterator[Session]:
        """Every row, also of sessions that have expired."""
        return map(rows.to_session, self.db.reader.execute(f"SELECT {SESSION} FROM sessions").fetchall())

    def count_sessions(self) -> int:
        row = self.db.reader.execute("SELECT count(*) FROM sessions WHERE NOT expired").fetchone()
        return int(row[0])

    async def add_sessions(self, sessions: list[Session]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                f"INSERT OR IGNORE INTO sessions ({SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        found = self.db.reader.execute(f"SELECT {SESSION} FROM sessions WHERE {IDLE}", (seconds,))
        return [rows.to_session(row) for row in found.fetchall()]

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
            rows.touch(connection, session_id, now, idle, messages=0)

        await self.db.write(work)

    # Turns

    def turn(self, session_id: str, number: int) -> Turn | None:
        return rows.turn(self.db.reader, session_id, number)

    def last_turn(self, session_id: str) -> Turn | None:
        return rows.one_turn(self.db.reader, "session_id = ? ORDER BY number DESC LIMIT 1", session_id)

    def turns(self, session_id: str, after: int = 0, limit: int = 100) -> list[Turn]:
        """In order, those with a number above ``after``."""
        where = "session_id = ? AND number > ? ORDER BY number LIMIT ?"
        return rows.turns(self.db.reader, where, session_id, after, limit)

    def unfinished_turns(self, session_id: str | None = None) -> list[Turn]:
        """All that run or wait, of one session or of all, in the order of submission."""
        where = "state IN ('queued', 'running') AND (? IS NULL OR session_id = ?) ORDER BY created, number"
        return rows.turns(self.db.reader, where, session_id, session_id)

    def has_run_before(self, turn: Turn) -> bool:
        """Whether an earlier turn of the session came so far as to start."""
        where = "SELECT 1 FROM turns WHERE session_id = ? AND number < ? AND started IS NOT NULL LIMIT 1"
        return self.db.reader.execute(where, (turn.session_id, turn.number)).fetchone() is not None

    def caller_turn(self, caller_key: tuple[str, str]) -> tuple[str, int] | None:
        """(session, number) of the turn that a request key without a session has named."""
        return rows.caller_turn(self.db.reader, caller_key)

    def latest_turn(self, caller: str, session_id: str | None, prefix: str) -> Turn | None:
        """The turn whose request key is the last one with ``prefix``, which ends before any ``~``: of a
        session, or of those that the caller's keys have made sessions for."""
        between = "request_key BETWEEN ? AND ? ORDER BY request_key DESC LIMIT 1"
        keys = (prefix, f"{prefix}~")
        if session_id:
            return rows.one_turn(self.db.reader, f"session_id = ? AND {between}", session_id, *keys)
        where = f"SELECT session_id, number FROM caller_keys WHERE caller = ? AND {between}"
        named = self.db.reader.execute(where, (caller, *keys)).fetchone()
        return rows.turn(self.db.reader, *named) if named else None

    async def begin_turn(self, submission: Submission) -> tuple[Turn, bool]:
        """See :func:`.submission.begin_turn`."""
        return await self.db.write(lambda connection: begin_turn(connection, submission))

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
                rows.touch(connection, session_id, ending.ended, idle, messages=int(ending.answered))
            return rows.turn(connection, session_id, number)

        return await self.db.write(work)
