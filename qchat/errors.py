"""What can go wrong, as clients see it.

::

    QchatError
    ├── ValidationError        400 VALIDATION_ERROR
    ├── Unauthorized           401 UNAUTHORIZED
    ├── Forbidden              403 FORBIDDEN
    ├── SessionNotFound        404 SESSION_NOT_FOUND
    ├── TurnNotFound           404 TURN_NOT_FOUND
    ├── FileNotFound           404 FILE_NOT_FOUND
    ├── EndpointNotFound       404 ENDPOINT_NOT_FOUND
    ├── MethodNotAllowed       405 METHOD_NOT_ALLOWED
    ├── SessionBusy            409 SESSION_BUSY
    ├── Conflict               409 CONFLICT
    ├── PreconditionFailed     412 PRECONDITION_FAILED
    ├── PayloadTooLarge        413 PAYLOAD_TOO_LARGE
    ├── UnsupportedMediaType   415 UNSUPPORTED_MEDIA_TYPE
    ├── RangeNotSatisfiable    416 RANGE_NOT_SATISFIABLE
    ├── TooManyRequests        429 TOO_MANY_REQUESTS
    ├── Overloaded             503 OVERLOADED
    ├── AgentUnavailable       503 QCLI_UNAVAILABLE
    ├── QuotaExceeded          507 QUOTA_EXCEEDED
    ├── StorageFull            507 STORAGE_FULL
    ├── StorageUnavailable     503 STORAGE_UNAVAILABLE
    ├── InternalError          500 INTERNAL_ERROR
    └── TurnFailed             the turn's own code: QCLI_TIMEOUT 408, QCLI_AUTH_ERROR 401, ...

Texts are Chinese by default, as existing clients expect; each class carries both languages.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from attrs import frozen

from qchat.model.shape import ABSENT, SessionId, TurnNumber

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
RETRY: Mapping[str, str] = MappingProxyType({"Retry-After": "5"})


@frozen(kw_only=True)
class ErrorBody:
    """Why there is not what was asked for."""

    error: Annotated[str, "for people"]
    code: Annotated[str, "for programs; it stays"]
    http_status: int
    details: Annotated[str, "the field, the value and what is allowed; or what the agent said"] = ABSENT
    suggestions: Annotated[list[str], "what may help"] = ABSENT
    session_id: SessionId = ABSENT
    turn: Annotated[TurnNumber, "that is in the way, or that failed"] = ABSENT
    reason: Annotated[str, "why the turn has ended"] = ABSENT
    retry_after: Annotated[int, "seconds after which it may work"] = ABSENT
    limit: Annotated[int, "what has been reached"] = ABSENT
    limit_files: Annotated[int, "what has been reached"] = ABSENT


class QchatError(Exception):
    """The root: whatever a client is told instead of what it asked for."""

    status: int = 500
    code: str = "INTERNAL_ERROR"
    zh: ClassVar[str] = "服务器内部错误"
    en: ClassVar[str] = "internal error"
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(self, details: Any = None, *, zh: str = "", en: str = "", **extra: Any) -> None:
        self.texts = {"zh": zh or self.zh, "en": en or self.en}
        self.details = details
        self.extra = extra
        super().__init__(self.texts["en"])

    def body(self, lang: str) -> "ErrorBody":
        """What the client is sent."""
        details = ABSENT if self.details is None else self.details
        return ErrorBody(
            error=self.texts[lang], code=self.code, http_status=self.status, details=details, **self.extra
        )


class ValidationError(QchatError):
    """The request is not one that can be answered; nothing was done."""

    status = 400
    code = "VALIDATION_ERROR"
    zh = "请求数据格式错误"
    en = "the request is malformed"


class Unauthorized(QchatError):
    """The request does not say who it is from, or what it says does not count."""

    status = 401
    code = "UNAUTHORIZED"
    zh = "需要登录"
    en = "a login or token is needed"
    headers: Mapping[str, str] = MappingProxyType({"WWW-Authenticate": 'Bearer realm="qchat"'})


class Forbidden(QchatError):
    """The request comes from a page or under a name that may not call the service."""

    status = 403
    code = "FORBIDDEN"
    zh = "请求被拒绝"
    en = "the request is not allowed"


class SessionNotFound(QchatError):
    """There is no such session, or it has ended."""

    status = 404
    code = "SESSION_NOT_FOUND"
    zh = "指定的会话不存在"
    en = "there is no such session"


class TurnNotFound(QchatError):
    """The session has no such turn."""

    status = 404
    code = "TURN_NOT_FOUND"
    zh = "指定的对话轮次不存在"
    en = "the session has no such turn"


class FileNotFound(QchatError):
    """The workspace has no such file."""

    status = 404
    code = "FILE_NOT_FOUND"
    zh = "指定的文件不存在"
    en = "there is no such file"


class EndpointNotFound(QchatError):
    """No route has this path."""

    status = 404
    code = "ENDPOINT_NOT_FOUND"
    zh = "请求的接口不存在"
    en = "there is no such endpoint"


class MethodNotAllowed(QchatError):
    """The route exists, but not with this method."""

    status = 405
    code = "METHOD_NOT_ALLOWED"
    zh = "请求方法不被允许"
    en = "the method is not allowed here"


class SessionBusy(QchatError):
    """A turn of this session is running or waiting, and the caller did not ask to wait."""

    status = 409
    code = "SESSION_BUSY"
    zh = "会话正在处理另一条消息，请稍后重试"
    en = "the session is busy with another turn"


class Conflict(QchatError):
    """The request key already names a turn with another prompt."""

    status = 409
    code = "CONFLICT"
    zh = "同一请求标识已用于另一条消息"
    en = "this request key belongs to another prompt"


class PreconditionFailed(QchatError):
    """The file is not the one that the request's conditions mean."""

    status = 412
    code = "PRECONDITION_FAILED"
    zh = "文件已被修改"
    en = "the file is not the one that the conditions ask for"


class PayloadTooLarge(QchatError):
    """The body is larger than any valid request."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"
    zh = "请求体过大"
    en = "the request body is too large"


class UnsupportedMediaType(QchatError):
    """A body that acts must say that it is JSON, which no simple cross-site request can."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    zh = "请求体必须是 application/json"
    en = "the body must be application/json"


class RangeNotSatisfiable(QchatError):
    """The range begins beyond the end."""

    status = 416
    code = "RANGE_NOT_SATISFIABLE"
    zh = "请求的范围无效"
    en = "the range cannot be satisfied"


class TooManyRequests(QchatError):
    """The client has done this too often; ``Retry-After`` says when it may again."""

    status = 429
    code = "TOO_MANY_REQUESTS"
    zh = "请求过于频繁，请稍后重试"
    en = "too many requests, try again later"

    def __init__(self, wait: float, details: str) -> None:
        super().__init__(details)
        self.headers = {"Retry-After": str(max(1, math.ceil(wait)))}


class Overloaded(QchatError):
    """There is no room for more; it is worth trying again."""

    status = 503
    code = "OVERLOADED"
    zh = "服务繁忙，请稍后重试"
    en = "the service is at its limit, try again later"
    headers: Mapping[str, str] = RETRY


class QuotaExceeded(QchatError):
    """The session's workspace holds as much as it may."""

    status = 507
    code = "QUOTA_EXCEEDED"
    zh = "会话工作目录超过配额"
    en = "the session's workspace is at its quota"


class AgentUnavailable(QchatError):
    """There is no agent CLI that a turn could run."""

    status = 503
    code = "QCLI_UNAVAILABLE"
    zh = "AI服务不可用"
    en = "the agent CLI cannot be run"


class StorageFull(QchatError):
    """The disk is full; reading and deleting still work."""

    status = 507
    code = "STORAGE_FULL"
    zh = "存储空间不足"
    en = "the disk is full"


class StorageUnavailable(QchatError):
    """The base directory or the database cannot be used."""

    status = 503
    code = "STORAGE_UNAVAILABLE"
    zh = "存储不可用"
    en = "the storage cannot be used"
    headers: Mapping[str, str] = RETRY


class InternalError(QchatError):
    """A mistake of ours."""


class TurnFailed(QchatError):
    """A turn that did not bring an answer, told to a caller that waited for one."""

    def __init__(self, code: str, status: int, texts: dict[str, str], **extra: Any) -> None:
        super().__init__(zh=texts["zh"], en=texts["en"], **extra)
        self.code = code
        self.status = status
        # A browser repeats a request by itself after a 408 on a connection that is kept.
        if status == 408:
            self.headers = {"Connection": "close"}
        if "retry_after" in extra:
            self.headers = {"Retry-After": str(extra["retry_after"])}
