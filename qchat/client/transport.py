"""Requests, repeated while that is safe and worth it."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from attrs import define, field
from yarl import URL

from qchat.client.errors import ApiError, ClientError, ConnectionLost, NotFound, Unavailable, api_error

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
CONNECT_SECONDS = 10.0
LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""What aiohttp raises when no answer, or not all of one, has come."""
TEMPORARY = frozenset({"", "OVERLOADED", "STORAGE_UNAVAILABLE", "TOO_MANY_REQUESTS"})
"""Codes of refusals that nothing came of; a proxy's error has none."""


@define(eq=False, kw_only=True)
class Patience:
    """How long in a row failures are put up with, and the pauses between attempts."""

    seconds: float
    _attempts: int = 0
    _since: float = field(factory=time.monotonic)

    def restore(self) -> None:
        """Something came."""
        self._attempts, self._since = 0, time.monotonic()

    async def pause(self, error: ClientError, at_least: float | None = None) -> None:
        """Wait before the next attempt.

        :raises ClientError: ``error``, when patience is at its end.
        """
        self._attempts += 1
        # Clients that were cut off together do not come back together.
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self._attempts - 1, 10)) * random.uniform(0.5, 1)
        if at_least is not None:
            delay = max(delay, at_least)
        if time.monotonic() - self._since + delay > self.seconds:
            raise error
        await asyncio.sleep(delay)


@define(eq=False, kw_only=True)
class Transport:
    """One service, reached over ``http``."""

    http: aiohttp.ClientSession
    base_url: str
    token: str | None
    patience: float
    silence: float
    """Seconds without a byte after which a connection counts as lost."""

    def url(self, path: str) -> URL:
        return URL(self.base_url + path, encoded=True)

    @asynccontextmanager
    async def open(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt; inside, the answer of a request that succeeded.

        :raises ApiError: the service has answered with an error.
        :raises ConnectionLost: no answer has come, or inside, not all of it.
        """
        headers = dict(options.pop("headers", None) or {})
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self.silence)
        try:
            async with self.http.request(
                method, self.url(path), headers=headers, timeout=timeout, allow_redirects=False, **options
            ) as response:
                if not response.ok or response.status // 100 == 3:
                    raise await _refusal(response)
                yield response
        except LOST as error:
            raise ConnectionLost(f"{method} {self.base_url}: {str(error) or type(error).__name__}") from error

    async def request(self, method: str, path: str, *, repeat: bool = True, **options: Any) -> bytes:
        """The body of the answer. Failures that may pass are repeated, unless ``repeat`` is false."""
        patience = Patience(seconds=self.patience if repeat else 0)
        while True:
            try:
                async with self.open(method, path, **options) as response:
                    return await response.read()
            except ConnectionLost as error:
                await patience.pause(error)
            except ApiError as error:
                if not passes(error):
                    raise
                await patience.pause(error, error.retry_after)

    async def delete(self, path: str, *, gone: str) -> None:
        """Remove what ``path`` names; ``gone`` is the error's code when there is no such thing any more."""
        try:
            await self.request("DELETE", path)
        except NotFound as error:
            # An earlier attempt, whose answer was lost, may have done it; any other 404 says something else.
            if error.code != gone:
                raise

    async def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Like :meth:`request`, for an answer that is an object."""
        found = _object(await self.request(method, path, **options))
        if found is None:
            raise ConnectionLost(f"{method} {self.base_url}: the answer is no JSON object")
        return found


def passes(error: ApiError) -> bool:
    """Whether a repeat of the request may succeed."""
    return isinstance(error, Unavailable) and error.code in TEMPORARY


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    retry_after = response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None
    data: Mapping[str, Any] | None = _object(await response.read())
    return api_error(response.status, data or {}, seconds)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
