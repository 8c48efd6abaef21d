"""A turn: one run of the agent CLI, from the prompt to a fact about how it ended."""

from typing import Literal

from attrs import frozen

Reason = Literal[
    "completed", "failed", "cancelled", "timed_out", "interrupted", "output_limit", "quota_exceeded"
]
State = Literal["queued", "running"] | Reason
Form = Literal["q", "plain"]
Output = Literal["markdown", "text", "raw"]

UNFINISHED = ("queued", "running")


@frozen(kw_only=True)
class Ending:
    """How a turn ended. Exactly one is committed for every turn, before any client hears of it."""

    reason: Reason
    ended: float
    """Seconds since the epoch."""
    exit: int | None = None
    """The CLI's exit code, negative for a signal; None when it never ran or nobody saw its end."""
    bytes: int = 0
    """The length of the transcript."""
    sha256: str = ""
    """Of the transcript, in hexadecimal."""
    code: str | None = None
    """The error code, for an ending that brings no answer."""
    detail: str = ""
    """What the CLI said of the failure, without styles and banners."""
    answered: bool = False
    """Whether the answer is not empty."""


@frozen(kw_only=True)
class Turn:
    """One row. ``form`` and ``output`` fix how its transcript is read, so that event ids never change."""

    session_id: str
    number: int
    prompt: str
    request_key: str | None
    state: State
    created: float
    started: float | None
    form: Form
    output: Output
    ending: Ending | None

    @property
    def names(self) -> dict[str, str | int]:
        """What it is called in a log."""
        return {"session_id": self.session_id, "turn": self.number}

    @property
    def finished(self) -> bool:
        return self.ending is not None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it runs, and for one that never did."""
        if self.ending is None or self.started is None:
            return None
        return max(0.0, round(self.ending.ended - self.started, 3))
