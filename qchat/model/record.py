"""The exact record of a turn, as the agent's own database has it.

The program that reads the database runs with the agent's rights, so what it says is the agent's word:
it is checked here, field by field, and taken only for the turn whose prompt it has.
"""

import json
import math
import re
from typing import Any, Self

import attrs
from attrs import frozen

from qchat.model.prompt import visible

MAX_BYTES = 6 * 1024 * 1024
MAX_DEPTH = 100
"""How deep JSON within JSON may be, so that no walk through it comes to an end of its own."""


@frozen
class ToolUse:
    """One use of a tool: what it was given and what it returned, both as JSON."""

    id: str
    name: str
    arguments: Any
    status: str | None
    """``success``, ``error``, or None when there is no result."""
    result: Any


@frozen
class Request:
    """One request to the model. Times are seconds since the epoch, durations seconds."""

    model: str | None
    started: float | None
    ended: float | None
    first_seconds: float | None
    """How long the first byte of the answer took."""


@frozen
class Record:
    """A turn as the agent remembers it."""

    prompt: str
    answer: str
    """The markdown that the model wrote; its parts around tools are paragraphs."""
    tools: tuple[ToolUse, ...]
    requests: tuple[Request, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what the program wrote.

        :raises ValueError: when it is not a record.
        """
        if len(data) > MAX_BYTES:
            raise ValueError(f"a record has at most {MAX_BYTES} bytes, not {len(data)}")
        try:
            return cls.of(json.loads(data, parse_constant=_refuse))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"not a record: {error!r}") from error

    def to_json(self) -> str:
        """What :meth:`of` takes, as text."""
        return json.dumps(attrs.asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, found: Any) -> Self:
        """The record that was JSON.

        :raises ValueError: when it is not a record.
        """
        try:
            return cls(
                prompt=_text(found["prompt"]),
                answer=_text(found["answer"]),
                tools=tuple(_tool(tool) for tool in found["tools"]),
                requests=tuple(_request(request) for request in found["requests"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record: {error!r}") from error

    def is_of(self, prompt: str) -> bool:
        """Whether this is the record of the turn that was sent ``prompt``.

        After an interruption the agent forgets the exchange, and its last one is an older one.
        """
        return visible(self.prompt) == visible(prompt)


def _refuse(constant: str) -> None:
    raise TypeError(f"{constant} is no JSON")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return re.sub("[\ud800-\udfff]", "\ufffd", value)


def _json(value: object, depth: int = MAX_DEPTH) -> Any:
    """``value`` as it can be written for others: not too deep, of finite numbers and whole characters."""
    if depth == 0:
        raise TypeError(f"JSON deeper than {MAX_DEPTH}")
    match value:
        case str():
            return _text(value)
        case float():
            return _number(value)
        case list():
            return [_json(one, depth - 1) for one in value]
        case dict():
            return {_text(name): _json(one, depth - 1) for name, one in value.items()}
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise TypeError(f"{value!r} is no number")
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{value!r} is no JSON")
    return value


def _tool(found: dict[str, Any]) -> ToolUse:
    status = found["status"]
    return ToolUse(
        id=_text(found["id"]),
        name=_text(found["name"]),
        arguments=_json(found["arguments"]),
        status=None if status is None else _text(status),
        result=_json(found["result"]),
    )


def _request(found: dict[str, Any]) -> Request:
    model = found["model"]
    return Request(
        model=None if model is None else _text(model),
        started=_number(found["started"]),
        ended=_number(found["ended"]),
        first_seconds=_number(found["first_seconds"]),
    )
