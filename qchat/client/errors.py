"""What can go wrong, for programs that call the service.

::

    ClientError
    ├── ConnectionLost          no answer, although the request was repeated for as long as allowed
    └── ApiError                the service has answered with an error
        ├── InvalidRequest      400, 405, 415, 416
        ├── Unauthorized        401
        ├── Forbidden           403
        ├── NotFound            404
        ├── SessionBusy         409: another turn is unfinished
        ├── Conflict            409
        ├── PreconditionFailed  412
        ├── TooLarge            413
        ├── Unavailable         408, 429, 502, 503, 504
        ├── StorageFull         507
        └── TurnFailed          the turn has ended without an answer
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """The root."""


class ConnectionLost(ClientError):
    """The service could not be reached, or did not answer, for as long as the client is patient."""


class ApiError(ClientError):
    """The service's answer: ``{error, code, http_status, details?, suggestions?}``."""

    def __init__(self, status: int, data: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status
        self.data = data
        self.code = str(data.get("code", ""))
        self.message = str(data.get("error", ""))
        self.details = data.get("details")
        self.suggestions: list[str] = list(data.get("suggestions") or ())
        self.retry_after = retry_after
        """Seconds after which the service says that it is worth trying again."""
        super().__init__(self._text())

    def _text(self) -> str:
        text = self.message or f"HTTP status {self.status}"
        code = f" ({self.code})" if self.code else ""
        return f"{text}{code}" + (f": {self.details}" if self.details else "")


class InvalidRequest(ApiError):
    """The request is not one that can be answered; ``details`` says what is allowed."""


class Unauthorized(ApiError):
    """The token is missing, wrong or expired."""


class Forbidden(ApiError):
    """The caller, or the name that it used for the service, is not allowed to do this."""


class NotFound(ApiError):
    """There is no such session, turn, file or endpoint."""


class SessionBusy(ApiError):
    """Another turn of the session is unfinished."""

    @property
    def turn(self) -> int | None:
        """Its number."""
        number = self.data.get("turn")
        return number if isinstance(number, int) else None


class Conflict(ApiError):
    """The request key belongs to another prompt, or the path to something that is no file."""


class PreconditionFailed(ApiError):
    """The file is not the one that the conditions mean."""


class TooLarge(ApiError):
    """The body is larger than the service takes."""


class Unavailable(ApiError):
    """The service, or what is in front of it, cannot answer now."""


class StorageFull(ApiError):
    """The service's disk, or the session's quota, is full."""


class TurnFailed(ApiError):
    """The turn has ended without a whole answer; ``code`` and ``reason`` say why."""

    def __init__(self, data: Mapping[str, Any], answer: str) -> None:
        super().__init__(int(data.get("http_status") or 503), data)
        self.reason = str(data.get("reason", "failed"))
        self.answer = answer
        """What there is of it."""


_BY_STATUS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 405, 415, 416), InvalidRequest),
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    **dict.fromkeys((408, 429, 502, 503, 504), Unavailable),
    507: StorageFull,
}


def api_error(status: int, data: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """The error for an answer; ``data`` is empty when it was not JSON of ours, such as a proxy's page."""
    kind = SessionBusy if data.get("code") == "SESSION_BUSY" else _BY_STATUS.get(status, ApiError)
    return kind(status, data, retry_after=retry_after)
