"""What a handler says of itself: the API document is made from it, see :mod:`qchat.web.openapi`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp.typedefs import Handler
from attrs import frozen

from qchat.errors import ErrorBody, QchatError
from qchat.web.parameters import Parameter

H = TypeVar("H", bound=Callable[..., Any])
BINARY = "application/octet-stream"


@frozen
class Media:
    """A body that is not JSON."""

    types: tuple[str, ...] = (BINARY,)


@frozen
class Events:
    """A stream of server-sent events, each with one line of data: the JSON of ``data``."""

    data: Any


@frozen(kw_only=True)
class Operation:
    answers: Mapping[int, Any]
    """What is sent by status: an attrs class, :class:`Media`, :class:`Events`, or None for no body."""
    body: Any = None
    """What is taken: an attrs class for JSON, or :class:`Media`."""
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    raises: tuple[type[QchatError], ...] = ()
    """Errors besides those that every route may answer with."""
    turn_fails: bool = False
    """Whether the way a turn ended may be the answer."""
    error_body: type = ErrorBody
    """How errors look."""
    probe: bool = False
    """Whether it answers whoever asks, and so is not refused to anybody."""

    def __call__(self, handler: H) -> H:
        """Describe ``handler``; its docstring is the rest of the description."""
        handler.operation = self  # type: ignore[attr-defined]  # read by operation_of
        return handler


def operation_of(handler: Handler | type) -> Operation | None:
    """How a handler has described itself."""
    return getattr(handler, "operation", None)
