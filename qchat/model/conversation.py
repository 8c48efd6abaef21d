"""A conversation told whole, as one prompt: of a caller who sends all of it each time."""

from collections.abc import Sequence

from attrs import frozen

LEAD = "Continue this conversation: answer its last message."


@frozen(kw_only=True)
class Said:
    """One message; ``role`` is who said it, ``name`` which of them."""

    role: str
    text: str
    name: str = ""


def last_of_user(messages: Sequence[Said]) -> str | None:
    """The newest message of the user; None when there is none."""
    return next((one.text for one in reversed(messages) if one.role == "user"), None)


def as_prompt(messages: Sequence[Said]) -> str:
    """All of it. A single message of the user is the prompt, as it is."""
    told = [one for one in messages if one.text.strip()]
    if len(told) == 1 and told[0].role == "user":
        return told[0].text
    parts = (f"[{one.role} {one.name}".rstrip() + f"]\n{one.text.strip()}" for one in told)
    return "\n\n".join((LEAD, *parts))
