"""What the service tells, typed; ``data`` has all of it, also what this release does not know."""

from collections.abc import Mapping
from typing import Any, Self

from attrs import frozen

Json = Mapping[str, Any]


@frozen(kw_only=True)
class Event:
    """One event of a stream; docs/api.md lists the types and their fields."""

    type: str
    position: str
    """Where the reader stands when it has seen this: what ``after`` takes. Empty at the very beginning."""
    data: Json

    @property
    def turn(self) -> int | None:
        return self.data.get("turn")

    @property
    def text(self) -> str:
        """A piece of the answer; empty for all other events. The pieces of a turn, joined, are the answer."""
        return str(self.data.get("message", "")) if self.type == "chunk" else ""

    @property
    def ends_turn(self) -> bool:
        return self.type in ("done", "error")


@frozen(kw_only=True)
class SessionInfo:
    """A session as it is now. Times are seconds since the epoch."""

    id: str
    created_at: float
    last_activity: float
    message_count: int
    title: str
    pinned: bool
    expires_at: float | None
    work_directory: str
    data: Json

    @classmethod
    def of(cls, data: Json) -> Self:
        return cls(
            id=data["session_id"],
            created_at=data["created_at"],
            last_activity=data["last_activity"],
            message_count=data["message_count"],
            title=data.get("title") or "",
            pinned=bool(data.get("pinned")),
            expires_at=data.get("expires_at"),
            work_directory=data["absolute_work_directory"],
            data=data,
        )


@frozen(kw_only=True)
class TurnInfo:
    """A turn as it is now. Times are seconds since the epoch."""

    number: int
    state: str
    """queued, running, or how it ended: completed, failed, cancelled, timed_out, interrupted, ..."""
    prompt: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    code: str | None
    """The error's code, of a turn that failed."""
    data: Json

    @property
    def finished(self) -> bool:
        return self.state not in ("queued", "running")

    @classmethod
    def of(cls, data: Json) -> Self:
        return cls(
            number=data["turn"],
            state=data["state"],
            prompt=data["prompt"],
            created_at=data["created_at"],
            started_at=data.get("started_at"),
            ended_at=data.get("ended_at"),
            code=data.get("code"),
            data=data,
        )


@frozen(kw_only=True)
class File:
    """A file of a workspace."""

    path: str
    """For display, relative to the workspace."""
    size: int
    modified_time: float
    href: str
    """Names the file whatever bytes its name has."""

    @classmethod
    def of(cls, data: Json) -> Self:
        return cls(
            path=data["path"], size=data["size"], modified_time=data["modified_time"], href=data["href"]
        )
