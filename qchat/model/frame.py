"""Events as server-sent events: one line of JSON each, encoded once for all who read it.

Ids are positions, so ``Last-Event-ID`` says where a reader stands; frames that a reader may miss
without missing anything (``session``, ``queued``, heartbeats) have none.
"""

import json
from json.encoder import encode_basestring
from typing import Any

from attrs import frozen

from qchat.model.event import Event, Notice, Text
from qchat.model.failure import failure
from qchat.model.turn import Ending, Turn

PING = b"event: ping\ndata: {}\n\n"
"""A heartbeat that scripts can see; a comment would be invisible to them."""


@frozen
class Framer:
    """Encodes what the readers of one session are sent, in one language."""

    lang: str

    def event(self, turn: int, end: int, nth: int, event: Event) -> bytes:
        """A piece of the answer, a step of a tool, a notice."""
        if isinstance(event, Text):  # the frame that there are thousands of
            head = f"id: {turn}-{end}-{nth}" if nth else f"id: {turn}-{end}"
            text = encode_basestring(event.text)
            return f'{head}\ndata: {{"type": "chunk", "turn": {turn}, "message": {text}}}\n\n'.encode()
        facts: dict[str, Any]
        if isinstance(event, Notice):
            facts = {"type": "notice", "turn": turn, "message": event.message}
        else:
            facts = {"type": "tool", "turn": turn, "id": event.id, "state": event.state}
            if event.state == "started":
                facts |= {"name": event.name, "trusted": event.trusted, "about": event.about}
            facts |= {**_known(event.output, "output"), **_known(event.seconds, "seconds")}
        return _frame(facts, f"{turn}-{end}-{nth}" if nth else f"{turn}-{end}")

    def forgotten(self, turn: int) -> bytes:
        """The agent does not remember an exchange that was interrupted."""
        zh, en = (
            "上一轮对话被中断，AI不记得其内容",
            "the turn before this one was interrupted, and the agent does not remember it",
        )
        return self.event(turn, 0, 1, Notice(0, zh if self.lang == "zh" else en))

    def begin(self, turn: Turn) -> bytes:
        """On the stream of a session: a turn begins here."""
        facts = {"type": "turn", "session_id": turn.session_id, "turn": turn.number, "prompt": turn.prompt}
        return _frame(facts | {"created": turn.created}, f"{turn.number}-0")

    def session(self, session_id: str, turn: int) -> bytes:
        """On the stream of a turn: what it belongs to."""
        return _frame({"type": "session", "session_id": session_id, "turn": turn})

    def prime(self, turn: int) -> bytes:
        """Sets the id that a browser repeats, without firing a message."""
        return f"id: {turn}-0\n\n".encode()

    def queued(self, turn: int, place: int) -> bytes:
        """The turn waits; ``place`` 1 is next."""
        return _frame({"type": "queued", "turn": turn, "place": place})

    def ending(self, turn: Turn) -> bytes:
        """The terminal event: ``done`` or ``error``, with the facts."""
        assert turn.ending is not None
        facts = ending_facts(turn, self.lang)
        return _frame(facts, f"{turn.number}-{turn.ending.bytes + 1}")

    def deleted(self, session_id: str) -> bytes:
        return _frame({"type": "session_deleted", "session_id": session_id})

    def restarting(self) -> bytes:
        """The service goes down; the client comes back by itself and continues where it was."""
        return b"retry: 1000\n" + _frame({"type": "reconnect", "retry_after": 1})


def ending_facts(turn: Turn, lang: str) -> dict[str, Any]:
    """How a turn ended, as JSON: the fields of its terminal event."""
    ending = turn.ending
    assert ending is not None
    facts: dict[str, Any] = {"type": "done", "session_id": turn.session_id, "turn": turn.number}
    if ending.code:
        row = failure(ending.code)
        facts |= {"type": "error", "error": row.text(lang, ending.detail), "code": ending.code}
        facts |= {"http_status": row.status, "suggestions": row.suggestions(lang), "details": ending.detail}
    return facts | {
        "reason": ending.reason,
        **exit_facts(ending),
        "bytes": ending.bytes,
        "sha256": ending.sha256,
        "seconds": turn.seconds,
    }


def exit_facts(ending: Ending) -> dict[str, int | None]:
    """``exit_code`` or ``signal``, as the CLI ended; both null when it never ran."""
    code = ending.exit
    killed = code is not None and code < 0
    return {"exit_code": None if killed else code, "signal": -code if killed and code else None}


def _known(value: object, name: str) -> dict[str, object]:
    return {name: value} if value not in (None, "", {}) else {}


def _frame(facts: dict[str, Any], position: str = "") -> bytes:
    head = f"id: {position}\n" if position else ""
    return f"{head}data: {json.dumps(facts, ensure_ascii=False)}\n\n".encode()
