"""A base directory as a service leaves it, made without one; and the tool as a program."""

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from attrs import define, field, frozen

from qchat.adapters.database import connect
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.statedir import StateDir
from tests.harness import ROOT, environment

HOUR = 3600.0


@define(eq=False)
class Base:
    state: StateDir
    path: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.path = self.state.base

    @classmethod
    def make(cls, path: Path) -> Self:
        state = StateDir.open(path)
        connect(state.database, MIGRATIONS).close()
        return cls(state)

    def session(
        self,
        state: Literal["live", "expired", "bare"] = "live",
        *,
        hours: float = 0.0,
        files: Mapping[str, str] = {},
        answers: tuple[bytes, ...] = (),
    ) -> str:
        """A session that was last used ``hours`` ago; ``answers`` are the transcripts of its turns."""
        name = str(uuid4())
        if state == "bare":
            self.state.workspace(name).mkdir(mode=0o700)
        else:
            self.state.create(name)
        for path, text in files.items():
            place = self.state.workspace(name) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        used = time.time() - hours * HOUR
        if state != "bare":
            self.execute(
                "INSERT INTO sessions (id, created, last_activity, expired) VALUES (?, ?, ?, ?)",
                *(name, used, used, state == "expired"),
            )
        for number, answer in enumerate(answers, 1):
            self.turn(name, number, answer)
        self.age(name, hours)
        return name

    def age(self, name: str, hours: float) -> None:
        """Make a workspace look as if nothing had changed in it for ``hours``."""
        used = time.time() - hours * HOUR
        workspace = self.state.workspace(name)
        for path in [*workspace.rglob("*"), workspace]:
            os.utime(path, (used, used), follow_symlinks=False)

    def turn(self, name: str, number: int, answer: bytes, state: str = "completed") -> None:
        self.state.transcript(name, number).write_bytes(answer)
        end = (time.time(), len(answer), hashlib.sha256(answer).hexdigest())
        self.execute(
            "INSERT INTO turns (session_id, number, prompt, state, created, started, form, output,"
            " ended, bytes, sha256, answered) VALUES (?, ?, ?, ?, 1.0, 1.0, 'q', 'markdown', ?, ?, ?, 1)",
            *(name, number, f"prompt {number}", state),
            *(end if state not in ("queued", "running") else (None, None, None)),
        )

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.state.database, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def directories(self) -> set[str]:
        return {entry.name for entry in self.state.on_disk()}

    def rows(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT id FROM sessions")}


@frozen
class Told:
    """What a run of the tool came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def admin(base: Path, *args: str, **variables: str) -> Told:
    """Run the tool, in pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "qchat.admin", *args],
        env=environment(base, **variables),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Told(done.returncode, done.stdout.decode(), done.stderr.decode())


async def admin_beside(base: Path, *args: str, **variables: str) -> Told:
    """Run the tool while a service runs in this process."""
    return await asyncio.to_thread(admin, base, *args, **variables)
