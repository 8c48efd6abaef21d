"""Logins of browsers: the hash of each cookie, and the credential that it stands on."""

import sqlite3

from attrs import define, frozen

from qchat.adapters.database import Database

MOST = 100
"""Logins of one principal; the oldest make room."""


@frozen(kw_only=True)
class Login:
    """``id`` is the cookie's SHA-256; times are in seconds since the epoch."""

    id: str
    credential: str
    """The SHA-256 of the token, as the tokens file has it: without that entry the login is over."""
    principal: str
    created: float
    expires: float


@define(eq=False)
class Logins:
    db: Database

    def find(self, login_id: str) -> Login | None:
        row = self.db.reader.execute(
            "SELECT id, credential, principal, created, expires FROM logins WHERE id = ?", (login_id,)
        ).fetchone()
        if row is None:
            return None
        login_id, credential, principal, created, expires = row
        return Login(
            id=login_id, credential=credential, principal=principal, created=created, expires=expires
        )

    async def add(self, login: Login) -> None:
        """Keep a login, and forget those that are over."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO logins (id, credential, principal, created, expires) VALUES (?, ?, ?, ?, ?)",
                (login.id, login.credential, login.principal, login.created, login.expires),
            )
            connection.execute("DELETE FROM logins WHERE expires <= ?", (login.created,))
            connection.execute(
                "DELETE FROM logins WHERE principal = ?1 AND id NOT IN"
                " (SELECT id FROM logins WHERE principal = ?1 ORDER BY created DESC LIMIT ?2)",
                (login.principal, MOST),
            )

        await self.db.write(work)

    async def remove(self, login_id: str) -> None:
        await self.db.write(
            lambda connection: connection.execute("DELETE FROM logins WHERE id = ?", (login_id,))
        )

    async def remove_all(self, principal: str) -> None:
        """Those of a principal, on all its browsers."""
        await self.db.write(
            lambda connection: connection.execute("DELETE FROM logins WHERE principal = ?", (principal,))
        )
