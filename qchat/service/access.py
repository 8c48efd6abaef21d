"""Who gets in: tokens, logins that stand on them, the link of the start, and how often one may be wrong.

A login is only as good as its token: when that is revoked, rotated or over, so is the login, at the
next request, and the streams that are open end before they send another byte.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from typing import Literal

import attrs
from attrs import define, field, frozen

from qchat.adapters.logins import Login, Logins
from qchat.adapters.tokens import Token, TokensError, TokensFile, digest, from_environment
from qchat.errors import TooManyRequests, Unauthorized
from qchat.model.buckets import MOST_KEYS, Buckets
from qchat.model.principal import LOCAL, Principal
from qchat.service.shielded import shielded
from qchat.settings import Settings

LOGIN_SECONDS = 30 * 86400.0
LINK_SECONDS = 3600.0
LINK = "link"
"""The credential, and the name in logs, of logins by the link of the start."""
MINUTE = 60.0


@frozen(kw_only=True)
class Grant:
    """What a request may do, and why."""

    principal: Principal = LOCAL
    via: Literal["local", "token", "cookie", "proxy"] = "local"
    token: str = ""
    """The name of the token, for the audit log."""
    credential: str = field(default="", repr=False)
    login: str = field(default="", repr=False)
    """The SHA-256 of the cookie."""
    expires: float | None = None
    """Seconds since the epoch."""

    @property
    def ambient(self) -> bool:
        """Whether browsers send what it stands on by themselves, whichever page asks."""
        return self.via in ("cookie", "proxy")


@define(eq=False, kw_only=True)
class Access:
    required: bool
    """Without access control everybody is the local operator."""
    file: TokensFile | None
    operator: Token | None
    logins: Logins
    failures: Buckets
    _link: tuple[str, float] | None = None
    _proven: "OrderedDict[tuple[str, str], None]" = field(factory=OrderedDict)
    """Clients and the tokens that were right: these go on when somebody at the same address guesses."""

    @classmethod
    def create(cls, settings: Settings, logins: Logins) -> "Access":
        """:raises TokensError: for a tokens file that cannot be used, or has no token where one is needed."""
        file = TokensFile(settings.tokens_file) if settings.tokens_file else None
        operator = from_environment(settings.token) if settings.token else None
        tokens = file.load() if file else ()
        live = [token for token in tokens if not token.expired(time.time())]
        if not (settings.loopback or live or operator or settings.user_header):
            raise TokensError(
                f"HOST={settings.host} needs a token, and {settings.tokens_file} has none that is valid:"
                " qchat-admin token add NAME"
            )
        return cls(
            required=settings.access_control,
            file=file,
            operator=operator,
            logins=logins,
            failures=Buckets(size=settings.login_failures, seconds=MINUTE),
        )

    # Requests

    def by_token(self, secret: str, client: str) -> Grant:
        """:raises Unauthorized: for a token that is wrong or over.
        :raises TooManyRequests: when ``client`` has sent too many of them.
        """
        token = self._checked(secret, client)
        return Grant(
            principal=token.who,
            via="token",
            token=token.name,
            credential=token.sha256,
            expires=token.expires,
        )

    def by_cookie(self, value: str) -> Grant | None:
        """None for a login that is over. Cookies are too long to guess, so they are not counted."""
        return self._by_login(digest(value))

    def _by_login(self, login_id: str) -> Grant | None:
        login = self.logins.find(login_id)
        if login is None or login.expires <= time.time():
            return None
        grant = self._standing(login.credential)
        return grant and attrs.evolve(grant, via="cookie", login=login.id, expires=login.expires)

    def _standing(self, credential: str) -> Grant | None:
        """What a credential that was right once is good for now."""
        if credential == LINK:
            return Grant(token=LINK, credential=LINK)
        token = next((one for one in self._tokens() if one.sha256 == credential), None)
        if token is None or token.expired(time.time()):
            return None
        return Grant(principal=token.who, token=token.name, credential=credential)

    def holds(self, grant: Grant) -> bool:
        """Whether a grant is still good."""
        if grant.login:
            return self._by_login(grant.login) is not None
        return not grant.credential or self._standing(grant.credential) is not None

    # Logins

    def new_link(self) -> str:
        """The secret of the link that the start prints: good once, for an hour."""
        secret = secrets.token_urlsafe(32)
        self._link = digest(secret), time.monotonic() + LINK_SECONDS
        return secret

    @shielded
    async def log_in(self, secret: str, client: str) -> tuple[str, Grant]:
        """Turn a token into a login: (what the cookie holds, what it is good for).

        :raises Unauthorized:
        :raises TooManyRequests:
        """
        grant = (
            Grant(token=LINK, credential=LINK) if self._use_link(secret) else self.by_token(secret, client)
        )
        cookie, now = secrets.token_urlsafe(32), time.time()
        expires = min(now + LOGIN_SECONDS, grant.expires or float("inf"))
        login = Login(
            id=digest(cookie),
            credential=grant.credential,
            principal=grant.principal.name,
            created=now,
            expires=expires,
        )
        await self.logins.add(login)
        return cookie, attrs.evolve(grant, via="cookie", login=login.id, expires=expires)

    def _use_link(self, secret: str) -> bool:
        if self._link is None or time.monotonic() >= self._link[1]:
            return False
        if not hmac.compare_digest(self._link[0], digest(secret)):
            return False
        self._link = None
        return True

    @shielded
    async def log_out(self, grant: Grant, *, everywhere: bool) -> None:
        """End this login, or all of its principal."""
        if everywhere:
            await self.logins.remove_all(grant.principal.name)
        elif grant.login:
            await self.logins.remove(grant.login)

    # Tokens

    def _tokens(self) -> tuple[Token, ...]:
        found = self.file.current() if self.file else ()
        return (*found, self.operator) if self.operator else found

    def _checked(self, secret: str, client: str) -> Token:
        hashed, now = digest(secret), time.monotonic()
        wait = self.failures.wait(client, now)
        if wait and (client, hashed) not in self._proven:
            raise TooManyRequests(wait, "too many wrong tokens came from this address")
        found = None
        for token in self._tokens():  # all of them, so that the time tells nothing
            if hmac.compare_digest(token.sha256, hashed):
                found = token
        if found is None or found.expired(time.time()):
            self.failures.take(client, now)
            raise Unauthorized("the token is wrong" if found is None else "the token has expired")
        self._proven[client, hashed] = None
        self._proven.move_to_end((client, hashed))
        if len(self._proven) > MOST_KEYS:
            self._proven.popitem(last=False)
        return found
