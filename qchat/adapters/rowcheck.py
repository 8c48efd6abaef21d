"""The rows of a backup, before they are believed."""

import hashlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import get_args

from qchat.adapters.database import connect, connect_read_only
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.snapshot import DATABASE
from qchat.adapters.tarstream import BadArchive
from qchat.adapters.unpack import Unpacking
from qchat.model.session import is_session_id
from qchat.model.turn import UNFINISHED, Form, Output, Reason

EMPTY_SHA256 = hashlib.sha256().hexdigest()
STATES = {*get_args(Reason), *UNFINISHED}


def accept_rows(unpacking: Unpacking) -> int:
    """Check the rows, and the files against them, and make them fit to start from: how many turns.

    A turn that waited is not run again by the service that starts next: it may have run since.

    :raises BadArchive: when something does not fit.
    """
    path = unpacking.root / DATABASE
    if not path.exists():
        raise BadArchive("its database is missing")
    with closing(connect_read_only(path)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        _check_schema(connection)
        if problems := integrity_problems(connection):
            raise BadArchive(f"its database is damaged: {problems[0]}")
        _check_values(connection)
        _check_transcripts(connection, unpacking)
        sessions = [str(name) for (name,) in connection.execute("SELECT id FROM sessions")]
    for session_id in sessions:
        (unpacking.root / "sessions" / session_id).mkdir(mode=0o700, exist_ok=True)
    return _upgrade(path)


def integrity_problems(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with a database, in its words."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [text for text in found if text != "ok"] + [
        f"{row[0]}: a row without its {row[2]}" for row in dangling
    ]


def _check_schema(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 1 <= version <= len(MIGRATIONS):
        raise BadArchive(f"its schema has version {version}, this release knows {len(MIGRATIONS)}")
    with closing(sqlite3.connect(":memory:")) as model:
        for script in MIGRATIONS[:version]:
            model.executescript(script)
        if _schema(connection) != _schema(model):  # a trigger, or a view, would act on the service's rows
            raise BadArchive("its database is not made as this service makes it")


def _schema(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    query = (
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
    )
    return connection.execute(query).fetchall()


def _check_values(connection: sqlite3.Connection) -> None:
    """Paths are made of ids and numbers, so that these have to be what they should."""
    for (session_id,) in connection.execute(
        "SELECT id FROM sessions UNION SELECT session_id FROM caller_keys"
    ):
        if not is_session_id(session_id):
            raise BadArchive(f"it has a session {str(session_id)[:100]!r}")
    query = "SELECT number, state, form, output, typeof(bytes) FROM turns"
    for number, state, form, output, kind in connection.execute(query):
        fits = isinstance(number, int) and number > 0 and kind in ("integer", "null")
        if not (fits and state in STATES and form in get_args(Form) and output in get_args(Output)):
            raise BadArchive(f"it has a turn that is none: {(number, state, form, output)!a:.200}")


def _check_transcripts(connection: sqlite3.Connection, unpacking: Unpacking) -> None:
    """Every transcript is there as its row says, unless it was missing when the backup was made."""
    missing = [tuple(pair) for pair in unpacking.manifest.get("missing", ())]
    query = "SELECT session_id, number, bytes, sha256 FROM turns WHERE state NOT IN ('queued', 'running')"
    for session_id, number, size, sha256 in connection.execute(query):
        found = unpacking.transcripts.get((session_id, number), (0, EMPTY_SHA256))
        if (session_id, number) not in missing and found != (size or 0, sha256 or EMPTY_SHA256):
            raise BadArchive(f"the transcript of turn {number} of session {session_id} is not as it was")


def _upgrade(path: Path) -> int:
    with closing(connect(path, MIGRATIONS)) as connection:
        connection.execute(
            "UPDATE turns SET state = 'interrupted', ended = ?, bytes = 0, sha256 = ?,"
            " code = 'INTERRUPTED', detail = '', answered = 0"
            " WHERE state = 'queued'",
            (time.time(), EMPTY_SHA256),
        )
        connection.execute("DELETE FROM logins")  # some of them may have been ended since
        (count,) = connection.execute("SELECT count(*) FROM turns").fetchone()
    return int(count)
