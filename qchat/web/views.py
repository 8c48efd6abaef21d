"""How sessions, turns and files look to clients: the classes that are sent, and that document it."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from attrs import frozen

from qchat.adapters.report import Level, Report
from qchat.model.frame import ending_data
from qchat.model.record import Request, ToolUse
from qchat.model.session import Session
from qchat.model.shape import ABSENT, Count, SessionId, Time, TurnNumber, as_object
from qchat.model.turn import Reason, State, Turn
from qchat.service.access import Grant
from qchat.service.history import Message
from qchat.settings import Settings

Next = Annotated[int | None, "the after of the following page; null on the last one"]


@frozen(kw_only=True)
class ServiceView:
    """What there is."""

    service: Literal["qchat"] = "qchat"
    version: str
    status: Literal["running"] = "running"
    endpoints: dict[str, str]


@frozen(kw_only=True)
class IsolationView:
    """How well agents are kept apart, as it was measured at the start."""

    level: Level
    method: Annotated[str, "bubblewrap, landlock, plain, off or external"]
    open: Annotated[list[str], "the canaries that got through"]
    advice: Annotated[list[str], "what stands in the way of more"]

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(
            level=report.level, method=report.method, open=list(report.open), advice=list(report.advice)
        )


@frozen(kw_only=True)
class HealthView:
    """What the service is doing; somebody unknown learns the first two. Degraded: no agent CLI answers."""

    status: Literal["healthy", "degraded"]
    timestamp: Time
    qcli_available: bool = ABSENT
    active_sessions: Count = ABSENT
    active_processes: Annotated[Count, "turns that run"] = ABSENT
    version: str = ABSENT
    agent: str = ABSENT
    isolation: IsolationView = ABSENT
    queued_turns: Count = ABSENT
    open_streams: Count = ABSENT


@frozen(kw_only=True)
class GrantView:
    """Who asks, as the service sees it."""

    principal: str
    role: str
    via: str
    expires_at: Annotated[float | None, "of the login, in seconds since the epoch"]

    @classmethod
    def of(cls, found: Grant) -> Self:
        principal = found.principal
        return cls(principal=principal.name, role=principal.role, via=found.via, expires_at=found.expires)


@frozen(kw_only=True)
class NewSession:
    """A session that was just made."""

    session_id: SessionId
    created_at: Time


@frozen(kw_only=True)
class LastTurn:
    """The newest turn of a session."""

    turn: TurnNumber
    state: State


@frozen(kw_only=True)
class SessionView:
    """A session: a directory, a private home and a list of turns."""

    session_id: SessionId
    created_at: Time
    last_activity: Time
    message_count: Annotated[Count, "prompts, and answers that are not empty"]
    work_directory: Annotated[str, "the workspace, as the service was told it"]
    absolute_work_directory: str
    title: str
    pinned: Annotated[bool, "whether it never expires"]
    expires_in: Annotated[float | None, "seconds without activity; null for the service's setting"]
    expires_at: Annotated[float | None, "if nothing happens; null for a pinned one"]
    last_turn: LastTurn | None
    owner: Annotated[str, "who made it; empty without access control"]

    @classmethod
    def of(
        cls,
        session: Session,
        settings: Settings,
        workspace: str,
        *,
        expires_at: float | None,
        last: Turn | None,
        **more: Any,
    ) -> Self:
        count = session.message_count
        return cls(
            session_id=session.id,
            created_at=session.created,
            last_activity=session.last_activity,
            message_count=min(count, settings.max_history_length or count),
            **directories(session.id, settings, workspace),
            title=session.title,
            pinned=session.pinned,
            expires_in=session.expires_in,
            expires_at=expires_at,
            owner=session.owner,
            last_turn=LastTurn(turn=last.number, state=last.state) if last else None,
            **more,
        )


@frozen(kw_only=True)
class Room:
    """What files take, or may take."""

    bytes: Count
    files: Annotated[Count, "files and directories"]


@frozen(kw_only=True)
class SessionDetail(SessionView):
    """A session, and what its workspace takes and may take."""

    usage: Room
    limits: Room


@frozen(kw_only=True)
class SessionPage:
    """Sessions, the newest first."""

    sessions: list[SessionView]
    next: Annotated[str | None, "the before of the following page; null on the last one"]


@frozen(kw_only=True)
class Deleted:
    """The session is gone."""

    message: Literal["会话已删除"] = "会话已删除"


@frozen(kw_only=True)
class MessagePage:
    """What was said, in order."""

    session_id: SessionId
    messages: list[Message]
    next: Next


@frozen(kw_only=True)
class TurnView:
    """A turn; once it has ended, with the data of its terminal event."""

    session_id: SessionId
    turn: TurnNumber
    state: State
    prompt: str
    request_id: Annotated[str | None, "the request key that names it"]
    created_at: Time
    started_at: Annotated[float | None, "seconds since the epoch"]
    ended_at: Annotated[float | None, "seconds since the epoch"]
    events_url: str
    output_url: str
    cancel_url: str
    reason: Annotated[Reason, "why it has ended"] = ABSENT
    exit_code: Annotated[int | None, "of the agent; null for a signal"] = ABSENT
    signal: Annotated[int | None, "that ended the agent"] = ABSENT
    bytes: Annotated[Count, "the length of the output"] = ABSENT
    sha256: Annotated[str, "of the output, in hexadecimal"] = ABSENT
    seconds: Annotated[float | None, "how long it ran; null when it never did"] = ABSENT
    error: Annotated[str, "why there is no answer, for people"] = ABSENT
    code: Annotated[str, "why there is no answer, for programs"] = ABSENT
    http_status: int = ABSENT
    suggestions: list[str] = ABSENT
    details: Annotated[str, "what the agent said of it"] = ABSENT
    retry_after: Annotated[int, "seconds after which it may work"] = ABSENT

    @classmethod
    def of(cls, turn: Turn, lang: str, **more: Any) -> Self:
        base = f"/api/v1/sessions/{quote(turn.session_id)}/turns/{turn.number}"
        facts = as_object(ending_data(turn, lang)) if turn.ending else {}
        facts |= {"session_id": turn.session_id, "turn": turn.number}
        facts.pop("type", None)
        return cls(
            state=turn.state,
            prompt=turn.prompt,
            request_id=turn.request_key,
            created_at=turn.created,
            started_at=turn.started,
            ended_at=turn.ending.ended if turn.ending else None,
            events_url=f"{base}/events",
            output_url=f"{base}/output",
            cancel_url=f"{base}/cancel",
            **facts,
            **more,
        )


@frozen(kw_only=True)
class TurnDetail(TurnView):
    """A turn with its answer: the exact one when the agent has kept a record, else what its output tells."""

    answer: str
    answer_source: Literal["record", "transcript"]
    tools: list[ToolUse]
    requests: Annotated[list[Request], "to the model; only with a record"] = ABSENT


@frozen(kw_only=True)
class TurnPage:
    """Turns, in order."""

    turns: list[TurnView]
    next: Next


@frozen(kw_only=True)
class ChatAnswer:
    """The whole answer."""

    session_id: SessionId
    response: Annotated[str, "the agent's words"]
    message: Annotated[str, "the same, for older clients"]
    timestamp: Time
    turn: TurnNumber
    reason: Literal["completed", "cancelled"]


@frozen(kw_only=True)
class FileView:
    """A regular file of a workspace."""

    name: str
    path: Annotated[str, "relative to the workspace; for display"]
    size: Count
    modified_time: Time
    href: Annotated[str, "where it is; works for names of any bytes"]


@frozen(kw_only=True)
class FilePage:
    """Files of a workspace."""

    session_id: SessionId
    work_directory: str
    absolute_work_directory: str
    files: list[FileView]
    file_count: Annotated[Count, "how many this page has"]
    truncated: Annotated[bool, "whether there are more"]
    next: Annotated[str | None, "the after of the following page"]


@frozen(kw_only=True)
class Uploaded:
    """What was written."""

    files: list[FileView]


def directories(session_id: str, settings: Settings, workspace: str) -> dict[str, str]:
    return {
        "work_directory": str(settings.sessions_base_dir / session_id),
        "absolute_work_directory": workspace,
    }
