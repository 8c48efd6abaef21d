"""Open connections: how many there may be, and how long one may keep us waiting.

A connection costs a descriptor, also while nothing is asked on it. When there are too many, one that waits
for its next request gives way, else the newest. Who connects and asks nothing, or stops in the middle of a
body, is cut.
"""

import asyncio

from aiohttp import web
from attrs import define, field

FIRST_REQUEST_SECONDS = 20.0
"""How long it may take from the connection to the whole head of the first request."""
BODY_SECONDS = 60.0
"""How long a body may pause."""
KEEP_ALIVE_SECONDS = 130.0
"""How long a connection waits for the next request: longer than proxies do, who then close it themselves."""
SWEEP_SECONDS = 5.0
MAX_BACKLOG = 128


@define(eq=False)
class Connections:
    """``limit``: how many there may be at once."""

    limit: int
    _since: dict[web.RequestHandler, float] = field(factory=dict)
    """When each was opened or, once there was a request, sent something; the oldest connection first."""

    @property
    def backlog(self) -> int:
        """How many may be accepted in one go, before the first of them is counted."""
        return min(MAX_BACKLOG, max(1, self.limit // 4))

    def opened(self, connection: web.RequestHandler) -> None:
        self._since[connection] = asyncio.get_running_loop().time()
        if len(self._since) > self.limit:
            idle = (found for found in self._since if found._request_count and found._waiter)
            self._close(next(idle, connection))

    def heard(self, connection: web.RequestHandler) -> None:
        """It has sent something."""
        if connection._request_count and connection in self._since:
            self._since[connection] = asyncio.get_running_loop().time()

    def closed(self, connection: web.RequestHandler) -> None:
        self._since.pop(connection, None)

    async def watch(self) -> None:
        """Cut those that keep us waiting, for as long as the service lives."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(asyncio.get_running_loop().time())

    def sweep(self, now: float) -> None:
        """Cut those that keep us waiting at the loop's time ``now``."""
        for connection, since in list(self._since.items()):
            request = connection._current_request
            if not connection._request_count:
                patience = FIRST_REQUEST_SECONDS
            elif request is not None and not request.content.is_eof():
                patience = BODY_SECONDS
            else:  # the service works, or aiohttp waits for the next request
                continue
            if now - since > patience:
                self._close(connection)

    def _close(self, connection: web.RequestHandler) -> None:
        del self._since[connection]
        connection.force_close()


CONNECTIONS = web.AppKey("connections", Connections)
