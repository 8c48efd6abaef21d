"""JSON to values: what requests may say."""

import json
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from aiohttp import hdrs, web
from attrs import frozen

from qchat.errors import PayloadTooLarge, UnsupportedMediaType, ValidationError
from qchat.model.prompt import check_prompt
from qchat.model.session import is_session_id
from qchat.model.shape import ABSENT, SessionId, limits, to_json
from qchat.settings import Settings

MAX_KEY_CHARS = 200
MAX_TITLE_CHARS = 200
MIN_EXPIRES_IN, MAX_EXPIRES_IN = 60, 10**9
MAX_SHOWN_CHARS = 100
UTF_8 = ("utf-8", "utf8")


@frozen(kw_only=True)
class ChatBody:
    """A prompt, and where it is to go."""

    message: Annotated[str, "white space around it is dropped", limits(minLength=1)]
    session_id: Annotated[SessionId | Literal[""] | None, "a new session is made without"] = ABSENT
    request_id: Annotated[
        str | None, "a request key, as Idempotency-Key", limits(minLength=1, maxLength=MAX_KEY_CHARS)
    ] = ABSENT
    on_busy: Annotated[Literal["reject", "queue"], "while another turn is unfinished"] = ABSENT
    stream: Annotated[Any, "accepted and ignored"] = ABSENT


@frozen(kw_only=True)
class SessionBody:
    """What is to change."""

    CLOSED: ClassVar = True
    """A field that is not known is a mistake, of which its sender must hear."""
    title: Annotated[str, "printable characters", limits(maxLength=MAX_TITLE_CHARS)] = ABSENT
    pinned: Annotated[bool, "whether it never expires"] = ABSENT
    expires_in: Annotated[
        float | None,
        "seconds without activity; null for the service's setting",
        limits(minimum=MIN_EXPIRES_IN, maximum=MAX_EXPIRES_IN),
    ] = ABSENT


@frozen(kw_only=True)
class LoginBody:
    """Who wants to be let in."""

    token: Annotated[str, "a token, or the secret of the link that the start prints", limits(minLength=1)]


@frozen(kw_only=True)
class ChatRequest:
    """A prompt, and where it is to go; ``session_id`` None asks for a new session."""

    message: str
    session_id: str | None
    request_key: str | None
    queue: bool


def json_response(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """``data`` is one of the classes of :mod:`qchat.web.views`, or plain JSON."""
    # Half a surrogate pair, which a client may have sent, is no UTF-8; escaped, it is JSON.
    body = to_json(data).encode("utf-8", "backslashreplace")
    kind = "application/json"
    return web.Response(body=body, status=status, headers=headers, content_type=kind, charset="utf-8")


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body as an object.

    :raises ValidationError: for a body that is empty, no JSON, or no object.
    :raises UnsupportedMediaType: for a body that does not say that it is JSON.
    :raises PayloadTooLarge:
    """
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise PayloadTooLarge(limit=request.client_max_size) from error
    if not body.strip():
        raise ValidationError(zh="请求体不能为空", en="the body must not be empty")
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in UTF_8:
        raise UnsupportedMediaType(
            f"Content-Type {request.headers.get(hdrs.CONTENT_TYPE, '')[:100]!r}: it takes application/json,"
            " in UTF-8"
        )
    data = _parsed(body)
    if not isinstance(data, dict):
        raise ValidationError(f"the body must be an object, not {in_json(data)}")
    return data


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValidationError(f"the body is not UTF-8: byte {error.start} is invalid") from error
    except json.JSONDecodeError as error:
        raise ValidationError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise ValidationError("the body is nested too deeply") from error
    except ValueError as error:  # of int(): the only other thing that can be wrong with a JSON text
        raise ValidationError("the body has a number with too many digits") from error


def _refuse_constant(name: str) -> None:
    raise ValidationError(f"the body is not JSON: {name}")


def in_json(value: object) -> str:
    """A value for an error's details, as its sender knows it: the value itself, or what kind it is."""
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."


def chat_request(request: web.Request, fields: dict[str, Any], settings: Settings) -> ChatRequest:
    """Check a prompt and what comes with it; ``fields`` come from a body or a query.

    :raises ValidationError: naming the field.
    """
    return ChatRequest(
        message=_message(fields, settings.max_message_chars),
        session_id=_session_id(fields),
        request_key=request_key(request, fields),
        queue=on_busy(fields) == "queue",
    )


def _message(fields: dict[str, Any], most: int) -> str:
    if fields.get("message") is None:
        raise ValidationError(zh="缺少必需字段: message", en="missing field: message")
    message = fields["message"]
    if not isinstance(message, str):
        raise ValidationError(f"message must be a string, not {in_json(message)}")
    return check_message(message, most)


def check_message(message: str, most: int) -> str:
    """The prompt, without the white space around it.

    :raises ValidationError: for one that no agent can be sent, or of more than ``most`` characters.
    """
    message = message.strip()
    if not message:
        raise ValidationError(zh="消息内容不能为空", en="message must not be empty")
    if len(message) > most:
        raise ValidationError(
            zh=f"消息内容过长，最大{most}字符", en=f"message is too long: it takes up to {most} characters"
        )
    try:
        check_prompt(message)
    except ValueError as error:
        raise ValidationError(f"message: {error}") from error
    return message


def _session_id(fields: dict[str, Any]) -> str | None:
    session_id = fields.get("session_id")
    if session_id is None or session_id == "":
        return None
    if not is_session_id(session_id):
        raise ValidationError(
            f"session_id={in_json(session_id)}: it takes a UUID in lower case",
            zh="会话ID格式无效",
            en="session_id is malformed",
        )
    return str(session_id)


def request_key(request: web.Request, fields: dict[str, Any]) -> str | None:
    """:raises ValidationError: for a key that is none."""
    header, field = request.headers.get("Idempotency-Key"), fields.get("request_id")
    if header is not None and field is not None and header != field:
        raise ValidationError(f"Idempotency-Key {in_json(header)} and request_id={in_json(field)} disagree")
    key = field if header is None else header
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        name = "request_id" if header is None else "Idempotency-Key"
        raise ValidationError(f"{name}={in_json(key)}: it takes 1 to {MAX_KEY_CHARS} printable characters")
    return key


def on_busy(fields: dict[str, Any]) -> Literal["reject", "queue"]:
    """:raises ValidationError: for anything else."""
    value = fields.get("on_busy", "reject")
    if value not in ("reject", "queue"):
        raise ValidationError(f'on_busy={in_json(value)}: it takes "reject" or "queue"')
    return "queue" if value == "queue" else "reject"


def session_changes(fields: dict[str, Any]) -> dict[str, Any]:
    """What a client wants to change of a session.

    :raises ValidationError: naming the field, the value and what is allowed.
    """
    for name, value in fields.items():
        if name not in CHANGEABLE:
            raise ValidationError(f"{in_json(name)} cannot be changed: it takes {', '.join(CHANGEABLE)}")
        allowed, fits = CHANGEABLE[name]
        if not fits(value):
            raise ValidationError(f"{name}={in_json(value)}: it takes {allowed}")
    return fields


def _is_title(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TITLE_CHARS and value.isprintable()


def _is_pinned(value: object) -> bool:
    return isinstance(value, bool)


def _is_expires_in(value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MIN_EXPIRES_IN <= value <= MAX_EXPIRES_IN
    return value is None


CHANGEABLE: dict[str, tuple[str, Callable[[object], bool]]] = {
    "title": (f"a string of up to {MAX_TITLE_CHARS} printable characters", _is_title),
    "pinned": ("true or false", _is_pinned),
    "expires_in": (f"{MIN_EXPIRES_IN} to {MAX_EXPIRES_IN} seconds, or null for the default", _is_expires_in),
}
"""What clients may change of a session: what it takes, and whether a value is that."""
