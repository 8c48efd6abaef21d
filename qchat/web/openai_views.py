"""How answers and errors look to OpenAI's clients: the classes that are sent, and that document it."""

from typing import Annotated, Any, Literal, Self

from aiohttp import web
from attrs import frozen

from qchat.errors import Conflict, QchatError, TurnFailed
from qchat.model.shape import ABSENT, SessionId
from qchat.model.turn import Reason, Turn

PREFIX = "/v1/"
ACCEPTED = web.RequestKey("accepted", bool)
"""On a request whose prompt has become a turn."""
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@frozen(kw_only=True)
class Answer:
    """The agent's words."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


@frozen(kw_only=True)
class Choice:
    """The answer. There is one."""

    index: int = 0
    message: Answer
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


@frozen(kw_only=True)
class TurnName:
    """Where the answer is, for the rest of the API."""

    session_id: SessionId
    turn: int
    reason: Annotated[Reason, "why it has ended"] = ABSENT


@frozen(kw_only=True)
class Completion:
    """The whole answer. The agent does not tell how many tokens it took, so ``usage`` is null."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: None = None
    qchat: TurnName


@frozen(kw_only=True)
class Delta:
    """What is new."""

    role: Literal["assistant"] = ABSENT
    content: str = ABSENT


@frozen(kw_only=True)
class ChunkChoice:
    """The next piece of the answer; ``finish_reason`` comes with the last."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Literal["stop"] | None = None


@frozen(kw_only=True)
class CompletionChunk:
    """A piece of an answer. With ``include_usage`` the last one has no choices, and no usage either."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: None = None
    qchat: TurnName

    @classmethod
    def of(cls, turn: Turn, model: str, *choices: ChunkChoice) -> Self:
        return cls(**names(turn, model), choices=list(choices))


def names(turn: Turn, model: str) -> dict[str, Any]:
    """What every object about a turn has."""
    reason = turn.ending.reason if turn.ending else ABSENT
    return {
        "id": f"chatcmpl-{turn.session_id}-{turn.number}",
        "created": int(turn.created),
        "model": model,
        "qchat": TurnName(session_id=turn.session_id, turn=turn.number, reason=reason),
    }


@frozen(kw_only=True)
class Model:
    """The agent that answers."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["qchat"] = "qchat"


@frozen(kw_only=True)
class ModelList:
    """The agent that answers, as a list."""

    object: Literal["list"] = "list"
    data: list[Model]


@frozen(kw_only=True)
class OpenAIError:
    """Why there is not what was asked for."""

    message: Annotated[str, "for people"]
    type: Annotated[str, "the kind of error, as OpenAI has them"]
    param: Annotated[str | None, "the field that is wrong"]
    code: Annotated[str, "for programs; it stays"]


@frozen(kw_only=True)
class OpenAIErrorBody:
    """An error, as OpenAI's clients read it."""

    error: OpenAIError


def is_openai(request: web.Request) -> bool:
    """Whether a request is of this part of the API."""
    return request.path.startswith(PREFIX)


def error_body(error: QchatError, lang: str) -> OpenAIErrorBody:
    """The same error, for OpenAI's clients."""
    told = error.body(lang)
    details = "" if told.details is ABSENT else str(told.details)
    # The text of a failed turn ends in its details already.
    parts = [told.error] if told.error.endswith(details) else [told.error, details]
    advice = [] if told.suggestions is ABSENT else told.suggestions
    default = "invalid_request_error" if error.status < 500 and error.status != 408 else "server_error"
    return OpenAIErrorBody(
        error=OpenAIError(
            message=": ".join(parts) + "".join(f" ({one})" for one in advice),
            type=TYPES.get(error.status, default),
            param=getattr(error, "param", None),
            code=error.code,
        )
    )


def retry_headers(request: web.Request, error: QchatError) -> dict[str, str]:
    """OpenAI's clients repeat 408, 409, 429 and 5xx by themselves, unless they are told not to."""
    final = ACCEPTED in request or isinstance(error, Conflict | TurnFailed)
    return {"x-should-retry": "false"} if final else {}
