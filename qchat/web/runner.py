"""Serving: what cannot even be read as HTTP gets an error like all others, and one quiet line in the log."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError
from aiohttp.web_request import BaseRequest

from qchat.context import CONTEXT
from qchat.errors import InternalError, QchatError, ValidationError
from qchat.web.connections import CONNECTIONS, KEEP_ALIVE_SECONDS, Connections
from qchat.web.wire import json_response

log = structlog.get_logger()


class Runner(web.AppRunner):
    """Serves an application that :func:`qchat.app.create_app` has made."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(app, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, **options)
        self._protocol = _protocol(app[CONTEXT].settings.lang, app[CONNECTIONS])

    @property
    def server(self) -> Any:
        """What sites call for each connection; aiohttp has no setting for the protocol that it makes."""
        server = super().server
        return server and self._ours(server)

    def _ours(self, make: Callable[[], web.RequestHandler]) -> Callable[[], web.RequestHandler]:
        def made() -> web.RequestHandler:
            protocol = make()
            protocol.__class__ = self._protocol
            return protocol

        return made


def _protocol(lang: str, connections: Connections) -> type[web.RequestHandler]:
    class Protocol(web.RequestHandler):
        __slots__ = ()  # or it could not take the place of its parent

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            connections.opened(self)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            connections.heard(self)

        def connection_lost(self, exc: BaseException | None) -> None:
            connections.closed(self)
            super().connection_lost(exc)

        def handle_error(
            self,
            request: BaseRequest,
            status: int = 500,
            exc: BaseException | None = None,
            message: str | None = None,
        ) -> web.StreamResponse:
            """What the application never sees: bytes that are no request, and mistakes of ours."""
            if isinstance(exc, ConnectionError):
                raise exc  # the client has left
            if status >= 500:
                log.error("request failed", exc_info=exc)
            else:
                log.info("not a request", remote=request.remote, error=_reason(message, exc))
            if request.writer.output_size > 0:
                raise ConnectionError("a part of the answer is sent already")
            return _rendered(InternalError() if status >= 500 else _unreadable(_reason(message, exc)), lang)

        async def finish_response(
            self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
        ) -> tuple[web.StreamResponse, bool]:
            """Also what is refused before the application is asked: an ``Expect`` that nobody knows."""
            if isinstance(resp, web.HTTPException) and resp.status >= 400:
                resp = _rendered(_unreadable(_reason(resp.text)), lang)
            return await super().finish_response(request, resp, start_time)

    return Protocol


def _unreadable(reason: str) -> ValidationError:
    return ValidationError(f"the request cannot be read: {reason}")


def _reason(message: str | None, error: BaseException | None = None) -> str:
    """What is wrong, without the bytes in question: a token or a prompt may be among them."""
    if isinstance(error, InvalidURLError):
        return "Invalid URL"
    return (message or "").strip().partition("\n")[0].partition(":")[0][:200]


def _rendered(error: QchatError, lang: str) -> web.Response:
    response = json_response(error.body(lang), status=error.status)
    response.force_close()
    return response
