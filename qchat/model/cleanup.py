"""Which session directories the operator's cleanups may remove."""

from typing import Literal

from attrs import frozen

from qchat.model.session import Session

Kind = Literal["empty", "old"]
DONE: dict[Kind, str] = {"empty": "清理空目录", "old": "清理过期目录"}
"""What operators search the log for."""
FAILED: dict[Kind, str] = {"empty": "清理空目录失败", "old": "清理过期目录失败"}


@frozen
class Survey:
    """What a walk through a workspace found."""

    modified: float
    """The newest change in the tree, in seconds since the epoch."""
    created: float
    """When the directory itself was last changed: the nearest to its creation that is known."""
    files: int
    """Regular files."""
    bytes: int
    """What they hold."""
    empty: bool
    """Nothing at all is in it."""
    complete: bool
    """False when a bound, or a tree that changed meanwhile, cut the walk short."""


@frozen
class Rule:
    """``cleanup-empty``, or ``cleanup-old`` with an age in hours."""

    kind: Kind
    hours: float = 0.0

    def reason_to_keep(self, row: Session | None, survey: Survey, now: float) -> str:
        """Why a directory stays; empty when it may go.

        ``row`` is the session's, None for a bare directory. A session that has not expired always
        keeps its directory.
        """
        if row is not None and not row.expired:
            return "the session has not expired"
        if self.kind == "empty":
            return "" if survey.empty else "it is not empty"
        if not survey.complete:
            return "it changed, or is too large to look through"
        age = max(0.0, now - max(survey.modified, row.last_activity if row else 0.0))
        return "" if age >= self.hours * 3600 else f"it was used {age / 3600:.1f} hours ago"


@frozen
class Cleaned:
    """What a cleanup did; sessions are named by their ids."""

    removed: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    """(session, why): chosen, but in use when it was looked at again."""
    failed: tuple[tuple[str, str], ...] = ()
    """(session, why)"""
    by_service: bool = False
    """A running service did it, and logged it."""
