"""Events as server-sent events: one line of JSON each, encoded once for all who read it.

Ids are positions, so ``Last-Event-ID`` says where a reader stands; frames that a reader may miss
without missing anything (``session``, ``queued``, ``started``, heartbeats) have none.
"""

import json
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

from attrs import frozen

from qchat.model.event import Event, Notice, Text, Tool
from qchat.model.eventdata import (
    DeletedData,
    DoneData,
    ErrorData,
    EventData,
    NoticeData,
    QueuedData,
    ReconnectData,
    SessionData,
    StartedData,
    ToolData,
    TurnData,
)
from qchat.model.failure import failure
from qchat.model.shape import ABSENT, to_json
from qchat.model.turn import Ending, Turn

PING = b"event: ping\ndata: {}\n\n"
"""A heartbeat that scripts can see; a comment would be invisible to them."""

LONG = 2048
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"))
_RARE = [character for character in map(chr, range(0x20)) if character not in "\n\t"]


@frozen
class Framer:
    """Encodes what the readers of one session are sent, in one language."""

    lang: str

    def event(self, turn: int, end: int, nth: int, event: Event) -> bytes:
        """A piece of the answer, a step of a tool, a notice."""
        position = f"{turn}-{end}-{nth}" if nth else f"{turn}-{end}"
        if isinstance(event, Text):  # the frame that there are thousands of: ChunkData, written by hand
            text = quoted(event.text)
            data = f'{{"type": "chunk", "turn": {turn}, "message": {text}}}'
            return f"id: {position}\ndata: {data}\n\n".encode()
        if isinstance(event, Notice):
            return _frame(NoticeData(turn=turn, message=event.message), position)
        return _frame(_tool(turn, event), position)

    def forgotten(self, turn: int) -> bytes:
        """The agent does not remember an exchange that was interrupted."""
        zh, en = (
            "上一轮对话被中断，AI不记得其内容",
            "the turn before this one was interrupted, and the agent does not remember it",
        )
        message = zh if self.lang == "zh" else en
        return _frame(NoticeData(turn=turn, message=message, code="TURN_FORGOTTEN"), f"{turn}-0-1")

    def begin(self, turn: Turn) -> bytes:
        """On the stream of a session: a turn begins here."""
        data = TurnData(
            session_id=turn.session_id, turn=turn.number, prompt=turn.prompt, created=turn.created
        )
        return _frame(data, f"{turn.number}-0")

    def session(self, session_id: str, turn: int) -> bytes:
        """On the stream of a turn: what it belongs to."""
        return _frame(SessionData(session_id=session_id, turn=turn))

    def prime(self, turn: int) -> bytes:
        """Sets the id that a browser repeats, without firing a message."""
        return f"id: {turn}-0\n\n".encode()

    def queued(self, turn: int, place: int) -> bytes:
        """The turn waits; ``place`` 1 is next."""
        return _frame(QueuedData(turn=turn, place=place))

    def started(self, turn: int) -> bytes:
        """It waits no longer. Only readers who were told that it waits are told this."""
        return _frame(StartedData(turn=turn))

    def ending(self, turn: Turn) -> bytes:
        """The terminal event: ``done`` or ``error``, with the facts."""
        assert turn.ending is not None
        return _frame(ending_data(turn, self.lang), f"{turn.number}-{turn.ending.bytes + 1}")

    def deleted(self, session_id: str) -> bytes:
        return _frame(DeletedData(session_id=session_id))

    def restarting(self) -> bytes:
        """The service goes down; the client comes back by itself and continues where it was."""
        return b"retry: 1000\n" + _frame(ReconnectData(retry_after=1))


def unframe(batch: bytes) -> Iterator[dict[str, Any]]:
    """The data of the frames in a batch, for what is sent in another form."""
    return (json.loads(line[6:]) for line in batch.split(b"\n") if line.startswith(b"data: "))


def ending_data(turn: Turn, lang: str) -> DoneData | ErrorData:
    """How a turn ended: the data of its terminal event."""
    ending = turn.ending
    assert ending is not None
    facts: dict[str, Any] = {
        "session_id": turn.session_id,
        "turn": turn.number,
        "reason": ending.reason,
        **exit_facts(ending),
        "bytes": ending.bytes,
        "sha256": ending.sha256,
        "seconds": turn.seconds,
    }
    if not ending.code:
        return DoneData(**facts, details=ending.detail or ABSENT)
    row = failure(ending.code)
    return ErrorData(
        **facts,
        error=row.text(lang, ending.detail),
        code=ending.code,
        http_status=row.status,
        suggestions=row.suggestions(lang),
        details=ending.detail or ABSENT,
        retry_after=row.retry_after or ABSENT,
    )


def exit_facts(ending: Ending) -> dict[str, int | None]:
    """``exit_code`` or ``signal``, as the CLI ended; both null when it never ran."""
    code = ending.exit
    killed = code is not None and code < 0
    return {"exit_code": None if killed else code, "signal": -code if killed and code else None}


def quoted(text: str) -> str:
    """``text`` as a string of JSON, with nothing escaped that need not be.

    Long texts are searched for what has to be escaped, which goes many times as fast as looking at
    every character, and long texts seldom have much of it.
    """
    if len(text) < LONG or any(character in text for character in _RARE):
        return encode_basestring(text)
    for character, escape in _ESCAPES:
        if character in text:
            text = text.replace(character, escape)
    return f'"{text}"'


def _tool(turn: int, tool: Tool) -> ToolData:
    started = tool.state == "started"
    return ToolData(
        turn=turn,
        id=tool.id,
        state=tool.state,
        name=tool.name if started else ABSENT,
        trusted=tool.trusted if started else ABSENT,
        about=tool.about if started else ABSENT,
        output=tool.output or ABSENT,
        seconds=ABSENT if tool.seconds is None else tool.seconds,
    )


def _frame(data: EventData, position: str = "") -> bytes:
    head = f"id: {position}\n" if position else ""
    return f"{head}data: {to_json(data)}\n\n".encode()
