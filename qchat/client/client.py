"""The client itself: where the service is, and who asks."""

from collections.abc import AsyncGenerator
from typing import Any, Self

import aiohttp
from attrs import define, field
from yarl import URL

from qchat.client.session import Session
from qchat.client.transport import Transport
from qchat.client.values import SessionInfo

PATIENCE_SECONDS = 60.0
SILENCE_SECONDS = 60.0


def _base_url(url: str) -> str:
    """:raises ValueError: for what is no address of a service; waiting would not make it one."""
    try:
        fits = URL(url).scheme in ("http", "https") and URL(url).host
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"base_url={url!r}: it takes http://HOST:PORT or https://HOST, with a path or without"
        )
    return url.rstrip("/")


@define(eq=False)
class Client:
    """A service at ``base_url``; to be used as ``async with Client(...) as qchat``.

    :param token: is sent with every request, where access control is on.
    :param patience: for how many seconds in a row failures that may pass (no connection, 502, 503, ...)
        are put up with; 0 tries once.
    :param silence: after how many seconds without a byte a connection counts as lost. The server sends
        a heartbeat every 15.
    :param http: to share a connection pool, or to reach the service by another way, such as a unix
        socket; it stays open.
    """

    base_url: str = field(converter=_base_url)
    token: str | None = field(default=None, repr=False, kw_only=True)
    patience: float = field(default=PATIENCE_SECONDS, kw_only=True)
    silence: float = field(default=SILENCE_SECONDS, kw_only=True)
    http: aiohttp.ClientSession | None = field(default=None, repr=False, kw_only=True)
    _own: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)

    async def __aenter__(self) -> Self:
        if self.http is None:
            # Streams hold connections for long: their number is not limited here.
            self._own = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    @property
    def _transport(self) -> Transport:
        http = self.http or self._own
        if http is None:
            raise RuntimeError("use the client as `async with Client(...) as qchat`")
        return Transport(
            http=http,
            base_url=self.base_url,
            token=self.token,
            patience=self.patience,
            silence=self.silence,
        )

    async def create_session(self) -> Session:
        """A new session. A repeat after a lost answer may leave another, which expires unused."""
        return self.session((await self._transport.json("POST", "/api/v1/sessions"))["session_id"])

    def session(self, session_id: str) -> Session:
        """A handle on a session that is there; nothing is asked."""
        return Session(transport=self._transport, id=session_id)

    async def sessions(self) -> AsyncGenerator[SessionInfo]:
        """All of the caller's sessions, newest first."""
        path: str | None = "/api/v1/sessions?limit=100"
        while path:
            page = await self._transport.json("GET", path)
            for session in page["sessions"]:
                yield SessionInfo.of(session)
            path = f"/api/v1/sessions?limit=100&before={page['next']}" if page["next"] else None

    async def health(self) -> dict[str, Any]:
        """What the service says of itself."""
        return await self._transport.json("GET", "/health")
