"""What surrounds every handler: errors become JSON, and nothing a client sends becomes a 500."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from qchat.adapters.statedir import storage_error
from qchat.errors import (
    EndpointNotFound,
    InternalError,
    MethodNotAllowed,
    PayloadTooLarge,
    QchatError,
    ValidationError,
)
from qchat.settings import Settings
from qchat.web.wire import json_response

log = structlog.get_logger()


def errors_as_json(settings: Settings) -> Middleware:
    """The middleware that renders every error."""

    @web.middleware
    async def rendered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
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
        return json_response(found.to_json(settings.lang), status=found.status, headers={**found.headers})

    return rendered


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
