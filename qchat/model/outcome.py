"""How a turn ended, decided from exit code, answer and stderr together.

The Q CLI exits 0 when it was throttled, when its service failed and when it was interrupted, with the
reason among banners on stderr. The table says what to make of what it writes there.
"""

import re
import signal
from typing import Literal

from attrs import frozen

from qchat.model.report import report, shorten
from qchat.model.turn import Form

_NO_ANSWER = "the agent ended without an answer"


@frozen
class Outcome:
    """``completed`` has no code; ``detail`` is what the agent said of a failure, or instead of an answer to a
    command of its own, 4 KiB at most."""

    reason: Literal["completed", "failed"]
    code: str | None = None
    detail: str = ""


@frozen
class _Row:
    """A kind of failure, and how the line begins that reports it."""

    code: str
    sign: re.Pattern[str]
    fatal: bool = True
    """Whether the turn has failed by it even when there is an answer, and the exit code is 0."""


def _row(code: str, *signs: str, fatal: bool = True) -> _Row:
    pattern = rf"^[^\w\n]*(?:error: )?(?:{'|'.join(signs)})"
    return _Row(code, re.compile(pattern, re.MULTILINE | re.IGNORECASE), fatal)


_TROUBLE = r".{0,40}is having trouble responding right now"
_CHAIN = r":.*(?:\n.*){0,12}?\b"
_TABLE = (
    _row(
        "QCLI_AUTH_ERROR",
        r"you are not logged in",
        r"authentication error",
        r"your (?:login )?session has expired",
        r"(?:no|invalid|expired|missing) (?:token|api key)\b",
        r"failed to load credentials",
        _TROUBLE
        + _CHAIN
        + r"(?:No token|ExpiredToken|InvalidToken|UnrecognizedClient|AccessDenied|Unauthorized|invalid_grant"
        r"|not authorized|bearer token|failed to load credentials)",
    ),
    _row(
        "QCLI_THROTTLED",
        r"[\w ]{0,40}\brate limit reached",
        r"the model you've selected is temporarily unavailable",
        r"monthly request limit reached",
        r"request quota exceeded",
        r"too many requests",
        _TROUBLE + _CHAIN + r"(?:Throttling|ServiceQuotaExceeded|Too many requests|monthly usage limit"
        r"|temporarily unavailable)",
    ),
    _row(
        "QCLI_PROCESSING_ERROR",
        _TROUBLE,
        r"your conversation is too large to continue",
        r"the conversation history has overflowed",
        r"tool approval required",
        r"thread '.*' panicked",
    ),
    _row(
        "QCLI_AUTH_ERROR",
        r"not logged in",
        r"unauthorized\b",
        r"(?:please )?(?:log in|run .{0,20}\blogin\b)",
        fatal=False,
    ),
    _row("QCLI_PROCESSING_ERROR", r"error:", r"prompt .* not found", r"failed to ", fatal=False),
)
"""Rows in the order of precedence."""


def decide(
    *,
    form: Form,
    exit_code: int | None,
    answered: bool,
    stderr: str,
    worked: bool = False,
    command: bool = False,
) -> Outcome:
    """The outcome of a turn that nobody stopped.

    :param exit_code: the exit code, negative for a signal; None when nobody saw the end.
    :param answered: whether the answer has any text.
    :param stderr: what the agent wrote there, or the last 64 KiB of it.
    :param worked: whether a tool has completed, which may be all that was asked for.
    :param command: whether the prompt was a command of the CLI, which may answer on stderr or not at all.
    """
    said = report(stderr)
    found = [(row, match) for row in _TABLE if form == "q" and (match := row.sign.search(said))]
    succeeded = exit_code == 0 and (answered or worked or command or form == "plain")
    for row, match in found:
        if row.fatal or not succeeded:
            return Outcome("failed", row.code, shorten(said[match.start() :]))
    if succeeded:
        return Outcome("completed", detail=shorten(said) if command and not answered else "")
    said = shorten(said)
    if exit_code == 0:
        return Outcome("failed", "QCLI_PROCESSING_ERROR", said or _NO_ANSWER)
    detail = ": ".join(filter(None, (_ending(exit_code), said)))
    return Outcome("failed", "QCLI_PROCESSING_ERROR", shorten(detail))


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "the agent's end was not seen"
    if exit_code > 0:
        return f"the agent exited with code {exit_code}"
    try:
        return f"the agent was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"the agent was ended by signal {-exit_code}"
