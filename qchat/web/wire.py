"""JSON to values: what requests may say."""

import json
from typing import Annotated, Any, ClassVar, Literal

from aiohttp import hdrs, web
from attrs import frozen

from qchat.errors import PayloadTooLarge, RangeNotSatisfiable, UnsupportedMediaType, ValidationError
from qchat.model.prompt import check_prompt
from qchat.model.session import is_session_id
from qchat.model.shape import ABSENT, SessionId, limits, to_json
from qchat.settings import Settings

MAX_KEY_CHARS = 200
MAX_TITLE_CHARS = 200


@frozen(kw_only=True)
class ChatBody:
    """A prompt, and where it is to go."""

    message: Annotated[str, "white space around it is dropped", limits(minLength=1)]
    session_id: Annotated[SessionId | Literal[""] | None, "a new session is made without"] = ABSENT
    request_id: Annotated[
        str | None, "a request key, as Idempotency-Key", limits(maxLength=MAX_KEY_CHARS)
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
        limits(minimum=60, maximum=10**9),
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
    if request.content_type != "application/json":
        raise UnsupportedMediaType(f"Content-Type: {request.headers.get(hdrs.CONTENT_TYPE, '')}")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValidationError(str(error)[:200]) from error
    if not isinstance(data, dict):
        raise ValidationError(f"the body must be an object, not {type(data).__name__}")
    return data


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
        raise ValidationError(f"message must be a string, not {type(message).__name__}")
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
            "session_id must be a UUID in lower case", zh="会话ID格式无效", en="session_id is malformed"
        )
    return str(session_id)


def request_key(request: web.Request, fields: dict[str, Any]) -> str | None:
    """:raises ValidationError: for a key that is none."""
    key = request.headers.get("Idempotency-Key") or fields.get("request_id")
    if key is None or key == "":
        return None
    if not isinstance(key, str) or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise ValidationError(
            f"Idempotency-Key (or request_id) must be 1 to {MAX_KEY_CHARS} printable characters"
        )
    return key


def on_busy(fields: dict[str, Any]) -> Literal["reject", "queue"]:
    """:raises ValidationError: for anything else."""
    value = fields.get("on_busy", "reject")
    if value not in ("reject", "queue"):
        raise ValidationError(f'on_busy={value!r}: it takes "reject" or "queue"')
    return "queue" if value == "queue" else "reject"


def check_range(request: web.Request, size: int) -> None:
    """:raises RangeNotSatisfiable: when the request's range has nothing of ``size`` bytes."""
    if hdrs.RANGE not in request.headers:
        return
    try:
        start = request.http_range.start or 0
    except ValueError:
        start = size
    if start >= size:
        refusal = RangeNotSatisfiable(f"{request.headers[hdrs.RANGE][:100]} of {size} bytes")
        refusal.headers = {hdrs.CONTENT_RANGE: f"bytes */{size}"}
        raise refusal


def session_changes(fields: dict[str, Any]) -> dict[str, Any]:
    """What a client wants to change of a session.

    :raises ValidationError: naming the field, the value and what is allowed.
    """
    for name, value in fields.items():
        match name, value:
            case "title", str() if len(value) <= MAX_TITLE_CHARS and value.isprintable():
                pass
            case "pinned", bool():
                pass
            case "expires_in", None:
                pass
            case "expires_in", int() | float() if not isinstance(value, bool) and 60 <= value <= 10**9:
                pass
            case _:
                raise ValidationError(
                    f"{name[:100]}={str(value)[:100]!r}: it takes title (up to {MAX_TITLE_CHARS} printable"
                    " characters), pinned (true or false) and expires_in (60 to 1000000000 seconds, or null)"
                )
    return fields
