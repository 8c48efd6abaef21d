"""Whom agents run as. A service that is root never lets one run as root."""

import os
import pwd
from pathlib import Path

from attrs import frozen

FALLBACK_USERS = ("qchat", "nobody")
NOBODY = 65534


class UserError(Exception):
    """The user that was asked for cannot be; the text names the variable, the value and what is allowed."""


@frozen
class Owner:
    """A user and group id."""

    uid: int
    gid: int


def agent_user(name: str) -> Owner | None:
    """Whom to become before starting agents: the user ``name``, or the best there is; None to stay.

    :raises UserError: when there is no such user, it is root, or we may not become it.
    """
    if not name and os.geteuid() != 0:
        return None
    found = _named(name) if name else _best()
    if found is not None and (obstacle := _obstacle(found)):
        raise UserError(
            f"the service is root and agents must not be, but it cannot become user {found.uid}: {obstacle};"
            " QCHAT_AGENT_USER names another user, and QCHAT_SANDBOX=external does without one"
        )
    return found


def _best() -> Owner:
    for candidate in FALLBACK_USERS:
        try:
            found = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Owner(found.pw_uid, found.pw_gid)
    return Owner(NOBODY, NOBODY)


def _named(name: str) -> Owner | None:
    try:
        found = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise UserError(
            f"QCHAT_AGENT_USER={name!r} is not allowed: it takes a user of this machine"
        ) from None
    if found.pw_uid == os.geteuid() != 0:
        return None
    if found.pw_uid == 0 or found.pw_gid == 0:
        raise UserError(f"QCHAT_AGENT_USER={name!r} is not allowed: it takes a user other than root")
    if os.geteuid() != 0:
        raise UserError(
            f"QCHAT_AGENT_USER={name!r} is not allowed: only a service that is root can start agents as"
            " another user; leave it empty, or start the service as that user"
        )
    return Owner(found.pw_uid, found.pw_gid)


def _obstacle(owner: Owner) -> str:
    """Why we cannot become a user, as in containers that lack users or rights; empty when we can."""
    for kind, number in (("uid", owner.uid), ("gid", owner.gid)):
        maps = Path(f"/proc/self/{kind}_map").read_text(encoding="ascii").splitlines()
        ranges = [(int(first), int(length)) for first, _, length in map(str.split, maps)]
        if not any(first <= number < first + length for first, length in ranges):
            return f"its user namespace has no {kind} {number}"
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    missing = [name for name, bit in (("CAP_SETGID", 6), ("CAP_SETUID", 7)) if not capabilities >> bit & 1]
    return f"it lacks {' and '.join(missing)}" if missing else ""
