"""Events, read across cuts, proxies' errors and restarts of the service: each once, in order."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from attrs import define, field

from qchat.client.errors import ApiError, ConnectionLost
from qchat.client.sse import Block, Parser
from qchat.client.transport import Patience, Transport, passes
from qchat.client.values import Event


@define(eq=False, kw_only=True)
class Stream:
    """The events at ``path`` behind ``position``."""

    transport: Transport
    path: str
    position: str
    whole_session: bool
    """Whether the stream goes on when a turn has ended."""
    _patience: Patience = field(init=False)
    _retry: float | None = None
    """Seconds that the service asked readers to wait for before they come back."""
    _seen_whole: bool = False

    def __attrs_post_init__(self) -> None:
        self._patience = Patience(seconds=self.transport.patience)

    async def events(self) -> AsyncGenerator[Event]:
        """Until the turn has ended, or the session is deleted.

        :raises ApiError: the service refuses, such as NotFound.
        :raises ConnectionLost: it could not be reached again.
        """
        while True:
            try:
                async with aclosing(self._connect()) as events:
                    async for event in events:
                        yield event
                        if event.type == "session_deleted" or (event.ends_turn and not self.whole_session):
                            return
                if self._seen_whole:
                    return
                failure: ApiError | ConnectionLost = ConnectionLost("the stream ended before its last event")
            except ConnectionLost as error:
                failure = error
            except ApiError as error:
                if not passes(error):
                    raise
                failure = error
            asked = failure.retry_after if isinstance(failure, ApiError) else None
            await self._patience.pause(failure, asked or self._retry)

    async def _connect(self) -> AsyncGenerator[Event]:
        """One connection's events."""
        parser = Parser()
        headers = {"Accept": "text/event-stream"}
        if self.position:
            headers["Last-Event-ID"] = self.position
        async with self.transport.open("GET", self.path, headers=headers) as response:
            self._seen_whole = response.status == 204
            async for piece in response.content.iter_any():
                for block in parser.feed(piece):
                    self._patience.restore()
                    if event := self._event(block):
                        yield event

    def _event(self, block: Block) -> Event | None:
        """What the reader is told of a block; the stream's own affairs are kept from it."""
        if block.id is not None:
            self.position = block.id
        if block.retry is not None:
            self._retry = block.retry
        if block.data is None or block.event is not None:  # events with names are heartbeats
            return None
        data = json.loads(block.data)
        kind = str(data.get("type", ""))
        if kind == "reconnect":
            return None
        return Event(type=kind, position=self.position, data=data)
