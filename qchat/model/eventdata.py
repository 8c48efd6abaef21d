"""The data of server-sent events: one class for every ``type``."""

from typing import Annotated, ClassVar, Literal

from attrs import frozen

from qchat.model.event import ToolState
from qchat.model.shape import ABSENT, Count, Seconds, SessionId, Time, TurnNumber, limits


@frozen(kw_only=True)
class SessionData:
    """On the stream of a turn: what it belongs to."""

    type: Literal["session"] = "session"
    session_id: SessionId
    turn: TurnNumber


@frozen(kw_only=True)
class TurnData:
    """On the stream of a session: a turn begins here."""

    type: Literal["turn"] = "turn"
    session_id: SessionId
    turn: TurnNumber
    prompt: str
    created: Time


@frozen(kw_only=True)
class QueuedData:
    """The turn waits."""

    type: Literal["queued"] = "queued"
    turn: TurnNumber
    place: Annotated[int, "1 is next", limits(minimum=1)]


@frozen(kw_only=True)
class StartedData:
    """The turn waits no longer; only readers who were told that it waits are told this."""

    type: Literal["started"] = "started"
    turn: TurnNumber


@frozen(kw_only=True)
class ChunkData:
    """The next piece of the answer; the pieces, joined, are the answer."""

    type: Literal["chunk"] = "chunk"
    turn: TurnNumber
    message: str


@frozen(kw_only=True)
class ToolData:
    """One step in the life of a tool."""

    type: Literal["tool"] = "tool"
    turn: TurnNumber
    id: Annotated[str, "names the tool's card within its turn"]
    state: ToolState
    name: Annotated[str, "when it has started"] = ABSENT
    trusted: Annotated[bool, "when it has started: it runs without being asked for"] = ABSENT
    about: Annotated[dict[str, str], "when it has started: path, command, purpose, ..."] = ABSENT
    output: Annotated[str, "what it wrote; the pieces, joined, are its output"] = ABSENT
    seconds: Annotated[float, "how long it took; at its end"] = ABSENT


@frozen(kw_only=True)
class NoticeData:
    """A remark for the reader that is not part of the answer."""

    type: Literal["notice"] = "notice"
    turn: TurnNumber
    message: str
    code: Annotated[str, "which remark it is, for programs"] = ABSENT


@frozen(kw_only=True)
class _EndData:
    session_id: SessionId
    turn: TurnNumber
    exit_code: Annotated[int | None, "of the agent; null for a signal, and when it never ran"]
    signal: Annotated[int | None, "that ended the agent"]
    bytes: Annotated[Count, "the length of what the agent wrote"]
    sha256: Annotated[str, "of what the agent wrote, in hexadecimal; empty when it never ran"]
    seconds: Annotated[float | None, "how long it ran; null when it never did"]


@frozen(kw_only=True)
class DoneData(_EndData):
    """The turn has ended, with an answer or because it was told to."""

    type: Literal["done"] = "done"
    reason: Literal["completed", "cancelled"]
    details: Annotated[str, "what the agent said instead of an answer, to a command of its own"] = ABSENT


@frozen(kw_only=True)
class ErrorData(_EndData):
    """The turn has ended without an answer, or with a part of it."""

    type: Literal["error"] = "error"
    reason: Literal["failed", "timed_out", "interrupted", "output_limit", "quota_exceeded"]
    error: Annotated[str, "what happened, for people"]
    code: Annotated[str, "what happened, for programs"]
    http_status: Annotated[int, "what a caller who waits for the answer gets"]
    suggestions: list[str]
    details: Annotated[str, "what the agent said of it"] = ABSENT
    retry_after: Annotated[int, "seconds after which it may work; when the agent's service throttles"] = (
        ABSENT
    )


@frozen(kw_only=True)
class DeletedData:
    """The session is gone; the stream ends."""

    type: Literal["session_deleted"] = "session_deleted"
    session_id: SessionId


@frozen(kw_only=True)
class ReconnectData:
    """The service goes down: come back and continue where you were."""

    type: Literal["reconnect"] = "reconnect"
    retry_after: Seconds


@frozen
class PingData:
    """Of the event ``ping``: the stream is alive."""

    CLOSED: ClassVar = True


EventData = (
    SessionData
    | TurnData
    | QueuedData
    | StartedData
    | ChunkData
    | ToolData
    | NoticeData
    | DoneData
    | ErrorData
    | DeletedData
    | ReconnectData
)
"""What may come on a stream; clients skip types and fields that they do not know."""
