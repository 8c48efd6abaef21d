"""A session: a directory, a private home and a list of turns."""

import re
from uuid import UUID

from attrs import frozen

from qchat.model.shape import SESSION_ID

_CANONICAL = re.compile(SESSION_ID)


def is_session_id(text: object) -> bool:
    """Whether ``text`` is a UUID in canonical lower case; nothing else ever reaches a path."""
    return isinstance(text, str) and _CANONICAL.fullmatch(text) is not None and bool(UUID(text))


@frozen(kw_only=True)
class Session:
    """One row; times are seconds since the epoch."""

    id: str
    created: float
    last_activity: float
    message_count: int
    """Prompts, and answers that are not empty."""
    idle: float
    """Seconds without activity that had been counted at the last sweep; below zero for activity since."""
    expired: bool = False
    """Forgotten, while its directory stays for the operator."""
    title: str = ""
    pinned: bool = False
    """Never expires."""
    expires_in: float | None = None
    """Seconds without activity until it expires; None for the service's setting."""
    owner: str = ""
    """The name of the principal that made it; empty for the operator's, and those taken over from disk."""
