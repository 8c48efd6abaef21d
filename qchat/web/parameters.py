"""What a request may say beside its body: each parameter once, with how it is read."""

from typing import Any, ClassVar, Literal

from aiohttp import web
from attrs import field, frozen

from qchat.errors import ValidationError
from qchat.model.event import POSITION
from qchat.model.shape import SESSION_ID, SessionId, TurnNumber

Place = Literal["query", "header"]
MAX_NUMBER = 10**15


@frozen
class Parameter:
    """``required`` is for the document: whoever needs it says what is missing."""

    name: str
    meaning: str
    required: bool = field(default=False, kw_only=True)
    pattern: str = field(default="", kw_only=True)
    place: ClassVar[Place] = "query"

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"} | ({"pattern": f"^({self.pattern})$"} if self.pattern else {})

    def text(self, request: web.Request) -> str:
        """As it was sent; empty when it was not."""
        return request.query.get(self.name, "")


@frozen
class WholeNumber(Parameter):
    default: int
    least: int
    most: int

    @property
    def schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer", **bounds, **({"default": self.default} if self.default else {})}

    def read(self, request: web.Request) -> int:
        """:raises ValidationError: naming the parameter, the value and what is allowed."""
        text = request.query.get(self.name)
        if text is None:
            return self.default
        fits = text.isascii() and text.isdecimal() and len(text) < 19
        if not (fits and self.least <= int(text) <= self.most):
            allowed = f"a whole number from {self.least} to {self.most}"
            raise ValidationError(f"{self.name}={text[:100]!r}: it takes {allowed}")
        return int(text)


@frozen
class Choice(Parameter):
    """One of several words; the first is the default."""

    words: tuple[str, ...]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words), "default": self.words[0]}

    def read(self, request: web.Request) -> str:
        """:raises ValidationError: naming the parameter, the value and what is allowed."""
        text = request.query.get(self.name, self.words[0])
        if text not in self.words:
            allowed = " or ".join(f'"{word}"' for word in self.words)
            raise ValidationError(f"{self.name}={text[:100]!r}: it takes {allowed}")
        return text


@frozen
class Flag(Parameter):
    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": ["0", "1"]}

    def read(self, request: web.Request) -> bool:
        """:raises ValidationError: for anything but 0 and 1."""
        text = request.query.get(self.name, "0")
        if text not in ("0", "1"):
            raise ValidationError(f"{self.name}={text[:100]!r}: it takes 0 or 1")
        return text == "1"


@frozen
class Header(Parameter):
    place: ClassVar[Place] = "header"

    def text(self, request: web.Request) -> str:
        return request.headers.get(self.name, "")


def limit_of(default: int, *, most: int) -> WholeNumber:
    """How many a page has."""
    return WholeNumber("limit", "how many at most", default, 1, most)


AFTER_TURN = WholeNumber("after", "only turns behind this one: the next of an earlier page", 0, 0, MAX_NUMBER)
AFTER_EVENT = Parameter(
    "after",
    "the id of the last event seen, such as 3-1042; Last-Event-ID goes before",
    pattern=f"{POSITION}|",
)
LAST_EVENT_ID = Header(
    "Last-Event-ID", "the id of the last event seen, such as 3-1042", pattern=f"{POSITION}|"
)
IDEMPOTENCY_KEY = Header(
    "Idempotency-Key", "names at most one turn for ever: repeating the request attaches to that turn"
)
RANGE = Header("Range", "bytes=FROM-TO; what is not one range is ignored")
IF_RANGE = Header("If-Range", "the ETag or Last-Modified that the range is of; of another the whole comes")
IF_MATCH = Header("If-Match", "the ETag that the file must have; * for any")
IF_NONE_MATCH = Header("If-None-Match", "the ETag that the file must not have; * when it must be new")

EVENT_SOURCE = (
    Parameter("session_id", "the session", required=True, pattern=SESSION_ID),
    Parameter("message", "the prompt", required=True, pattern=r".*\S.*"),
    Parameter("request_id", "a request key, as Idempotency-Key"),
    Choice("on_busy", "while another turn is unfinished", ("reject", "queue")),
)
"""What a bare EventSource can say: a prompt, as in the body of its POST."""

PATH: dict[str, tuple[Any, str]] = {
    "session_id": (SessionId, "the session"),
    "model": (str, "the model's id"),
    "turn": (TurnNumber, "the turn's number in its session"),
    "path": (str, "the file, beneath the workspace; every byte may be percent-encoded"),
}
"""The variable parts of paths: their types and meanings."""
