"""What was said: the answers of past turns, read from their transcripts."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from attrs import define, evolve, field, frozen

from qchat.model.event import Event, Text, Tool
from qchat.model.numbered import Numbered
from qchat.model.record import ToolUse
from qchat.model.shape import TurnNumber
from qchat.model.turn import State, Turn

SLICE_BYTES = 64 * 1024
TOOL_CHARS = 4 * 1024 * 1024
"""Characters that all tools of a turn may have together; what is beyond is left out."""


@define
class _Uses:
    """The tools of a turn, by the ids of their cards."""

    found: dict[str, dict[str, Any]] = field(factory=dict)
    _room: int = TOOL_CHARS

    def add(self, event: Tool) -> None:
        """Take a step in the life of a card."""
        if event.state == "started" and self._room > 0:
            about = {"id": event.id, "name": event.name, "arguments": event.about}
            self.found[event.id] = {**about, "status": None, "result": []}
            self._room -= len(str(about))
        elif use := self.found.get(event.id):
            if event.state == "output":
                output = event.output[: max(self._room, 0)]
                use["result"] = ["".join([*use["result"], output])]
                self._room -= len(output)
            else:
                use["status"] = "success" if event.state == "completed" else "error"


@frozen
class Message:
    """A prompt, or an answer as far as there is one."""

    turn: TurnNumber
    role: Literal["user", "assistant"]
    content: str
    timestamp: Annotated[float | None, "when it was sent, or complete; seconds since the epoch"]
    state: Annotated[State, "of the turn"]


@define(eq=False, kw_only=True)
class History:
    """``transcript`` gives the path of a turn's bytes."""

    transcript: Callable[[str, int], Path]

    async def answer(self, turn: Turn) -> str:
        """All of the answer that there is: the chunks of the turn's stream, joined."""
        if turn.ending and not turn.ending.answered:
            return ""
        return "".join([event.text async for event in self._events(turn) if isinstance(event, Text)])

    async def told(self, turn: Turn) -> tuple[str, list[ToolUse]]:
        """The answer, and the tools as their cards tell."""
        pieces: list[str] = []
        uses = _Uses()
        async for event in self._events(turn):
            if isinstance(event, Text):
                pieces.append(event.text)
            elif isinstance(event, Tool):
                uses.add(event)
        return "".join(pieces), [ToolUse(**use) for use in uses.found.values()]

    async def _events(self, turn: Turn) -> AsyncIterator[Event]:
        try:
            fd = os.open(self.transcript(turn.session_id, turn.number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        parser = Numbered.create(turn.form, turn.output)
        try:
            while data := os.pread(fd, SLICE_BYTES, parser.consumed):
                for _, _, event in parser.feed(data):
                    yield event
                if len(data) == SLICE_BYTES:
                    await asyncio.sleep(0)  # a long answer lets others run
            if turn.finished:
                for _, _, event in parser.close():
                    yield event
        finally:
            os.close(fd)

    async def messages(self, turn: Turn) -> list[Message]:
        """The prompt, and the answer as far as there is one."""
        answer = await self.answer(turn)
        number, state = turn.number, turn.state
        prompt = Message(number, role="user", content=turn.prompt, timestamp=turn.created, state=state)
        if not answer:
            return [prompt]
        ended = turn.ending.ended if turn.ending else turn.started
        return [prompt, evolve(prompt, role="assistant", content=answer, timestamp=ended)]
