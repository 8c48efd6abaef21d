"""Values that clients see: frozen attrs classes, whose fields are the fields of a JSON object.

The same class renders the JSON and documents it (:mod:`qchat.web.schema`). A field says more of itself
by ``Annotated[type, "its meaning", limits(minimum=1)]``; one that is not always there defaults to ``ABSENT``.
"""

import json
from typing import Annotated, Any

import attrs

ABSENT: Any = attrs.make_class("Absent", [], frozen=True)()
"""The default of a field that an object may lack."""


class Limits(tuple[tuple[str, Any], ...]):
    """What a type's values are limited to, in the words of JSON Schema."""

    __slots__ = ()


def limits(**facts: Any) -> Limits:
    return Limits(facts.items())


SESSION_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""A UUID in canonical lower case."""
SessionId = Annotated[str, "a UUID in lower case", limits(format="uuid", pattern=f"^{SESSION_ID}$")]
TurnNumber = Annotated[int, "turns of a session are 1, 2, 3, ...", limits(minimum=1)]
Time = Annotated[float, "seconds since the epoch"]
Seconds = Annotated[float, "seconds"]
Count = Annotated[int, limits(minimum=0)]


def to_json(value: Any) -> str:
    """JSON on one line, Chinese unescaped; attrs values become objects."""
    return json.dumps(value, ensure_ascii=False, default=as_object)


def as_object(value: Any) -> dict[str, Any]:
    """The fields of one attrs value, without those that are absent.

    :raises TypeError: for anything else.
    """
    if not attrs.has(type(value)):
        raise TypeError(f"{type(value).__name__} is not shown to clients")
    names = (one.name for one in attrs.fields(type(value)))
    return {name: found for name in names if (found := getattr(value, name)) is not ABSENT}
