"""Whom agents run as. A service that is root never lets one run as root."""

import os
import pwd

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
    if name:
        return _named(name)
    if os.geteuid() != 0:
        return None
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
