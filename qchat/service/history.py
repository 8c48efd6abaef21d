"""What was said: the answers of past turns, read from their transcripts."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define

from qchat.model.event import Text
from qchat.model.numbered import Numbered
from qchat.model.turn import Turn

SLICE_BYTES = 64 * 1024


@define(eq=False, kw_only=True)
class History:
    """``transcript`` gives the path of a turn's bytes."""

    transcript: Callable[[str, int], Path]

    async def answer(self, turn: Turn) -> str:
        """All of the answer that there is: the chunks of the turn's stream, joined."""
        if turn.ending and not turn.ending.answered:
            return ""
        try:
            fd = os.open(self.transcript(turn.session_id, turn.number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        parser = Numbered.create(turn.form, turn.output)
        pieces: list[str] = []
        try:
            while data := os.pread(fd, SLICE_BYTES, parser.consumed):
                pieces += [event.text for _, _, event in parser.feed(data) if isinstance(event, Text)]
                if len(data) == SLICE_BYTES:
                    await asyncio.sleep(0)  # a long answer lets others run
            if turn.finished:
                pieces += [event.text for _, _, event in parser.close() if isinstance(event, Text)]
        finally:
            os.close(fd)
        return "".join(pieces)

    async def messages(self, turn: Turn) -> list[dict[str, Any]]:
        """The prompt, and the answer as far as there is one: ``{turn, role, content, timestamp, state}``."""
        answer = await self.answer(turn)
        found = [
            {
                "turn": turn.number,
                "role": "user",
                "content": turn.prompt,
                "timestamp": turn.created,
                "state": turn.state,
            }
        ]
        if answer:
            ended = turn.ending.ended if turn.ending else turn.started
            found.append({**found[0], "role": "assistant", "content": answer, "timestamp": ended})
        return found
