"""OpenAI's API: what requests may say."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from attrs import frozen

from qchat.errors import ValidationError
from qchat.model.conversation import Said, as_prompt, last_of_user
from qchat.model.session import is_session_id
from qchat.model.shape import ABSENT, SessionId, limits
from qchat.settings import Settings
from qchat.web.wire import check_message, in_json, on_busy

SESSION_HEADER = "X-Session-Id"
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""The parts of a message that are text, and the field that has it."""


class InvalidParameter(ValidationError):
    """A field of the request is not one that can be answered."""

    def __init__(self, param: str, allowed: str, value: Any = ABSENT) -> None:
        super().__init__(f"{param}{'' if value is ABSENT else f'={in_json(value)}'}: {allowed}")
        self.param = param


@frozen(kw_only=True)
class PartBody:
    """A part of a message: text."""

    type: Literal["text", "input_text", "output_text", "refusal"]
    text: str = ABSENT
    refusal: str = ABSENT


@frozen(kw_only=True)
class MessageBody:
    """What somebody has said."""

    role: Role
    content: str | list[PartBody] | None = ABSENT
    name: Annotated[str | None, "which of those with this role"] = ABSENT


@frozen(kw_only=True)
class StreamOptions:
    """How to stream."""

    include_usage: bool | None = ABSENT


@frozen(kw_only=True)
class CompletionBody:
    """A conversation to continue. Fields that are not listed, such as temperature, change nothing."""

    messages: Annotated[list[MessageBody], limits(minItems=1)]
    model: Annotated[str | None, "any: the answer says which agent it is from"] = ABSENT
    stream: bool | None = ABSENT
    stream_options: StreamOptions | None = ABSENT
    session_id: Annotated[
        SessionId | None, "goes on in this session with the last message of the user; or X-Session-Id"
    ] = ABSENT
    metadata: Annotated[dict[str, Any] | None, "session_id may stand here, too"] = ABSENT
    on_busy: Annotated[Literal["reject", "queue"], "while another turn is unfinished"] = ABSENT
    n: Annotated[int | None, limits(minimum=1, maximum=1)] = ABSENT


@frozen(kw_only=True)
class CompletionRequest:
    """A prompt, and where it is to go; ``session_id`` None asks for a new session."""

    prompt: str
    session_id: str | None
    queue: bool
    stream: bool
    include_usage: bool


def completion_request(
    headers: Mapping[str, str], fields: dict[str, Any], settings: Settings
) -> CompletionRequest:
    """Check what is asked.

    :raises InvalidParameter: naming the field and what is allowed.
    """
    _refuse(fields)
    session_id = _session_id(headers, fields)
    messages = _messages(fields.get("messages"))
    last = last_of_user(messages)
    if last is None or not last.strip():
        raise InvalidParameter("messages", "the last of those with the role user has to say something")
    prompt = last if session_id else as_prompt(messages)
    try:
        prompt = check_message(prompt, settings.max_message_chars)
    except ValidationError as error:
        raise InvalidParameter("messages", f"{error.details or error.texts[settings.lang]}") from error
    return CompletionRequest(
        prompt=prompt,
        session_id=session_id,
        queue=on_busy(fields) == "queue",
        stream=_flag("stream", fields.get("stream")),
        include_usage=_flag("stream_options.include_usage", _options(fields).get("include_usage")),
    )


def _refuse(fields: dict[str, Any]) -> None:
    """What would change the shape of the answer, or its meaning; mere wishes are ignored."""
    if not isinstance(fields.get("model"), str | None):
        raise InvalidParameter("model", "it takes a string", fields["model"])
    if fields.get("n") not in (None, 1) or isinstance(fields.get("n"), bool):
        raise InvalidParameter("n", "it takes 1, there is one answer", fields["n"])
    for name in ("tools", "functions"):
        if fields.get(name):
            raise InvalidParameter(name, "the agent has tools of its own, and takes none")
    if fields.get("stop"):
        raise InvalidParameter("stop", "the agent cannot be stopped at a word")
    if fields.get("logprobs"):
        raise InvalidParameter("logprobs", "the agent does not tell them")
    form = fields.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type", "text") != "text"):
        raise InvalidParameter("response_format", 'it takes {"type": "text"}', form)
    if fields.get("modalities") not in (None, [], ["text"]):
        raise InvalidParameter("modalities", 'it takes ["text"]', fields["modalities"])


def _options(fields: dict[str, Any]) -> dict[str, Any]:
    options = fields.get("stream_options")
    if not isinstance(options, dict | None):
        raise InvalidParameter("stream_options", "it takes an object", options)
    return options or {}


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | None):
        raise InvalidParameter(name, "it takes true or false", value)
    return bool(value)


def _session_id(headers: Mapping[str, str], fields: dict[str, Any]) -> str | None:
    """From the header, the field, or the metadata; ``user`` never names one."""
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidParameter("metadata", "it takes an object", metadata)
    named = {
        SESSION_HEADER: headers.get(SESSION_HEADER),
        "session_id": fields.get("session_id"),
        "metadata.session_id": metadata.get("session_id"),
    }
    named = {name: value for name, value in named.items() if value not in (None, "")}
    for name, value in named.items():
        if not is_session_id(value):
            raise InvalidParameter(name, "it takes a UUID in lower case", value)
    if len(set(named.values())) > 1:
        raise InvalidParameter("session_id", f"{' and '.join(named)} name different sessions")
    return next(iter(named.values()), None)


def _messages(value: Any) -> list[Said]:
    if not isinstance(value, list) or not value:
        raise InvalidParameter("messages", "it takes a list of at least one message", value)
    return [_said(f"messages[{index}]", message) for index, message in enumerate(value)]


def _said(where: str, message: Any) -> Said:
    if not isinstance(message, dict):
        raise InvalidParameter(where, "it takes an object with role and content", message)
    role = message.get("role")
    if role not in ROLES:
        raise InvalidParameter(f"{where}.role", f"it takes one of {', '.join(ROLES)}", role)
    name = message.get("name")
    if not isinstance(name, str | None) or not (name or "").isprintable():
        raise InvalidParameter(f"{where}.name", "it takes printable characters", name)
    return Said(role=role, text=_text(f"{where}.content", message.get("content"), role), name=name or "")


def _text(where: str, content: Any, role: str) -> str:
    if isinstance(content, str):
        return content
    if content is None and role != "user":  # an assistant that only called a tool
        return ""
    if not isinstance(content, list):
        raise InvalidParameter(where, "it takes a string or a list of parts", content)
    return "\n".join(_part(f"{where}[{index}]", part) for index, part in enumerate(content))


def _part(where: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in TEXTS:
        raise InvalidParameter(f"{where}.type", "it takes text only", kind)
    text = part.get(TEXTS[kind])
    if not isinstance(text, str):
        raise InvalidParameter(f"{where}.{TEXTS[kind]}", "it takes a string", text)
    return text
