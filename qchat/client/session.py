"""Sessions and turns, as handles: they hold no state, so any number of them may name the same."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal
from uuid import uuid4

from attrs import frozen

from qchat.client.errors import NotFound, TurnFailed
from qchat.client.files import Files
from qchat.client.stream import Stream
from qchat.client.transport import Transport
from qchat.client.values import Event, SessionInfo, TurnInfo


@frozen(kw_only=True)
class Turn:
    """One prompt and what comes of it."""

    transport: Transport
    session_id: str
    number: int

    @property
    def _path(self) -> str:
        return f"/api/v1/sessions/{self.session_id}/turns/{self.number}"

    async def info(self) -> TurnInfo:
        """How it stands."""
        return TurnInfo.of(await self.transport.json("GET", self._path))

    def events(self, after: str = "") -> AsyncGenerator[Event]:
        """Its events behind the position ``after`` (an earlier event's), up to ``done`` or ``error``.

        Connections that are cut and restarts of the service are not noticed: the stream continues behind
        the last event. Nothing comes when ``after`` is the end.

        :raises NotFound: there is no such turn, or no longer.
        :raises ConnectionLost: the service could not be reached again.
        """
        path = f"{self._path}/events"
        return Stream(transport=self.transport, path=path, position=after, whole_session=False).events()

    async def answer(self) -> str:
        """The whole answer, once the turn has ended; of one that was cancelled, what there is.

        :raises TurnFailed: there is no whole answer.
        """
        pieces: list[str] = []
        async with aclosing(self.events()) as events:
            async for event in events:
                pieces.append(event.text)
                if event.type == "session_deleted":
                    raise NotFound(404, {"code": "SESSION_NOT_FOUND", "error": "the session was deleted"})
                if event.type == "error":
                    raise TurnFailed(event.data, "".join(pieces))
        return "".join(pieces)

    async def cancel(self) -> TurnInfo:
        """End it, and return when it has ended. One that has ended already stays as it is."""
        return TurnInfo.of(await self.transport.json("POST", f"{self._path}/cancel"))

    async def output(self) -> bytes:
        """What the agent's CLI wrote, byte for byte, as far as it has come."""
        return await self.transport.request("GET", f"{self._path}/output")


@frozen(kw_only=True)
class Session:
    """One directory, and the turns in it."""

    transport: Transport
    id: str

    @property
    def _path(self) -> str:
        return f"/api/v1/sessions/{self.id}"

    @property
    def files(self) -> Files:
        return Files(transport=self.transport, session_path=self._path)

    async def info(self) -> SessionInfo:
        return SessionInfo.of(await self.transport.json("GET", self._path))

    async def send(
        self, message: str, *, on_busy: Literal["reject", "queue"] = "reject", key: str | None = None
    ) -> Turn:
        """Begin a turn. The request is repeated until its answer has come; the prompt runs once.

        :param on_busy: what happens while another turn is unfinished: SessionBusy, or this one waits.
        :param key: names the turn for ever, so that a program that was restarted can send it again;
            by default one is made for this call.
        :raises SessionBusy:
        :raises Conflict: the key belongs to another prompt.
        """
        body = {
            "message": message,
            "on_busy": on_busy,
            "request_id": uuid4().hex if key is None else key,
        }
        turn = await self.transport.json("POST", f"{self._path}/turns", json=body)
        return self.turn(turn["turn"])

    async def ask(self, message: str, *, on_busy: Literal["reject", "queue"] = "reject") -> str:
        """Send, and wait for the answer; see :meth:`send` and :meth:`Turn.answer`."""
        return await (await self.send(message, on_busy=on_busy)).answer()

    def turn(self, number: int) -> Turn:
        """A handle; nothing is asked."""
        return Turn(transport=self.transport, session_id=self.id, number=number)

    async def turns(self) -> AsyncGenerator[TurnInfo]:
        """All of them, in order."""
        after: int | None = 0
        while after is not None:
            page = await self.transport.json("GET", f"{self._path}/turns?after={after}")
            for turn in page["turns"]:
                yield TurnInfo.of(turn)
            after = page["next"]

    def events(self, after: str = "") -> AsyncGenerator[Event]:
        """The events of all turns behind ``after``, past and to come, until ``session_deleted``.

        Like :meth:`Turn.events`.
        """
        path = f"{self._path}/events"
        return Stream(transport=self.transport, path=path, position=after, whole_session=True).events()

    async def change(self, **changes: str | bool | float | None) -> SessionInfo:
        """Set ``title``, ``pinned`` or ``expires_in`` (seconds; None for the default)."""
        return SessionInfo.of(await self.transport.json("PATCH", self._path, json=changes))

    async def delete(self) -> None:
        """End what runs, remove directory and history. One that is gone already is no error."""
        await self.transport.delete(self._path, gone="SESSION_NOT_FOUND")
