"""What surrounds every handler: errors become JSON, and nothing a client sends becomes a 500."""

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from qchat.adapters.statedir import storage_error
from qchat.errors import (
    EndpointNotFound,
    InternalError,
    MethodNotAllowed,
    Overloaded,
    PayloadTooLarge,
    QchatError,
    UnsupportedMediaType,
    ValidationError,
)
from qchat.settings import Settings
from qchat.web.openai_views import error_body, is_openai, retry_headers
from qchat.web.wire import json_response

log = structlog.get_logger()


def errors_as_json(settings: Settings) -> Middleware:
    """The middleware that renders every error."""

    @web.middleware
    async def rendered(request: web.Request, handler: Handler) -> web.StreamResponse:
        found: QchatError
        try:
            _refuse_encoding(request)
            return await handler(request)
        except (web.RequestPayloadError, HttpProcessingError) as error:
            found = ValidationError(f"the body cannot be read: {str(error)[:200]}")
        except QchatError as error:
            found = error
        except web.HTTPException as error:
            if error.status < 400:
                raise
            found = _from_http(error)
        except ConnectionResetError:
            raise
        except OSError as error:
            log.error("request failed", method=request.method, path=request.path, error=str(error))
            found = storage_error(error)
        except Exception:
            log.exception("request failed", method=request.method, path=request.path)
            found = InternalError()
        response = _render(request, found, settings.lang)
        if isinstance(found, Overloaded) or (request.body_exists and not request.content.at_eof()):
            response.force_close()  # its descriptor is wanted, or its body was not read
        return response

    return rendered


def _render(request: web.Request, error: QchatError, lang: str) -> web.Response:
    if is_openai(request):
        headers = {**error.headers, **retry_headers(request, error)}
        return json_response(error_body(error, lang), status=error.status, headers=headers)
    return json_response(error.body(lang), status=error.status, headers={**error.headers})


def _refuse_encoding(request: web.Request) -> None:
    # A body means what it says: it is not unpacked, so a cut or hostile one cannot pass for another.
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:100]!r}: it takes identity")


def bounded(limit: int) -> Middleware:
    """The middleware that refuses what there are no descriptors for."""
    active = 0

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal active
        if active >= limit:
            raise Overloaded(limit=limit)
        active += 1
        try:
            return await handler(request)
        finally:
            active -= 1

    return counted


def _from_http(error: web.HTTPException) -> QchatError:
    if isinstance(error, web.HTTPNotFound):
        return EndpointNotFound()
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = MethodNotAllowed(f"{error.method}: it takes {', '.join(sorted(error.allowed_methods))}")
        allowed.headers = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return allowed
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return PayloadTooLarge()
    return ValidationError(error.reason)
