"""How variables of the environment become fields: what each takes, what it means, and its default."""

import re
import shlex
from collections.abc import Callable
from typing import Any

from attrs import field

SECRETS = {"QCHAT_TOKEN"}
"""Variables whose values are never shown."""


def _read_flag(text: str) -> bool:
    value = {"true": True, "1": True, "yes": True, "on": True}.get(text.lower())
    if value is None and text.lower() not in ("false", "0", "no", "off"):
        raise ValueError
    return bool(value)


def setting(
    name: str, default: object, meaning: str, read: Callable[[str], object] = str, allowed: str = ""
) -> Any:
    """A field that is read from the variable ``name``; ``read`` raises ValueError for what is not allowed."""
    return field(
        default=default,
        repr=name not in SECRETS,
        metadata={"name": name, "read": read, "allowed": allowed, "meaning": meaning},
    )


def flag(name: str, default: bool, meaning: str) -> Any:
    return setting(name, default, meaning, _read_flag, "true or false")


def choice(name: str, default: str, choices: tuple[str, ...], meaning: str) -> Any:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    return setting(name, default, meaning, read, "one of " + ", ".join(choices))


def number(
    name: str,
    default: float | None,
    meaning: str,
    *,
    least: float,
    most: float = float("inf"),
    whole: bool = True,
) -> Any:
    def read(text: str) -> float:
        value: float = int(text) if whole else float(text)
        if not least <= value <= most:
            raise ValueError
        return value

    kind = "a whole number" if whole else "a number"
    bounds = f"of at least {least}" if most == float("inf") else f"from {least} to {most}"
    return setting(name, default, meaning, read, f"{kind} {bounds}")


def listed(name: str, meaning: str, one: Callable[[str], object], allowed: str) -> Any:
    """A list; ``one`` reads a member and raises ValueError for what is not allowed."""

    def read(text: str) -> frozenset[object]:
        return frozenset(one(part.strip().lower()) for part in text.split(",") if part.strip())

    return setting(name, frozenset(), meaning, read, f"{allowed}, separated by commas")


def matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return read


def command_line(text: str) -> str:
    """:raises ValueError: for what no shell would take for a command."""
    if not shlex.split(text)[0]:
        raise ValueError
    return text
