"""Who calls, and whose sessions exist for them: decided here for every route, before its handler.

A session of somebody else is answered like one that does not exist. Handlers take the session from
the request (:func:`session`); where its id comes in a body or a query, :meth:`Sessions.get` decides,
which takes the principal, too.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from qchat.adapters.tokens import PREFIX
from qchat.context import context
from qchat.errors import Forbidden, Unauthorized
from qchat.model.principal import Principal, is_principal_name
from qchat.model.session import Session
from qchat.service.access import Grant
from qchat.web.caller import caller
from qchat.web.security import LISTED, PAGE, PROBES, acts, is_at, is_from_own_page

WITHOUT_LOGIN = {"/health", "/api/v1/login", "/api/v1/logout"}
"""Routes that decide themselves what they say to somebody unknown."""
GRANT = web.RequestKey("grant", Grant)
SESSION = web.RequestKey("session", Session)


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The middleware that puts the grant on the request, and the session when the URL names one."""
    if is_at(request, PROBES | PAGE):
        return await handler(request)
    found = _authenticate(request)
    if found is not None:
        request[GRANT] = found
    elif not is_at(request, WITHOUT_LOGIN):
        raise Unauthorized()
    session_id = request.match_info.get("session_id")
    if session_id is not None:
        request[SESSION] = context(request).sessions.get(session_id, grant(request).principal)
    return await handler(request)


def grant(request: web.Request) -> Grant:
    """:raises Unauthorized: when nobody knows who asks; see :data:`WITHOUT_LOGIN`."""
    if GRANT not in request:
        raise Unauthorized()
    return request[GRANT]


def principal(request: web.Request) -> Principal:
    """Who asks."""
    return grant(request).principal


def session(request: web.Request) -> Session:
    """The session that the URL names; it exists for whoever asks."""
    return request[SESSION]


def cookie_name(request: web.Request) -> str:
    """Cookies ignore ports, so the name has the port; over TLS no other host may have set it."""
    prefix = "__Host-" if caller(request).scheme == "https" else ""
    return f"{prefix}qchat-{context(request).settings.port}"


def _authenticate(request: web.Request) -> Grant | None:
    """None for nobody.

    :raises Unauthorized: for credentials that do not count.
    :raises TooManyRequests:
    :raises Forbidden: for a request that another page may have made.
    """
    access = context(request).access
    if not access.required:
        return Grant()
    scheme, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    bearer = secret.strip() if scheme.lower() == "bearer" else ""
    found = _proxied(request)
    if bearer and (found is None or bearer.startswith(PREFIX)):
        return access.by_token(bearer, caller(request).client)
    # Any other is the proxy's own, which it may add to whatever a browser asks: it shows nothing.
    if found is None and (value := request.cookies.get(cookie_name(request))):
        found = access.by_cookie(value)
    if found is None or not found.ambient:
        return found
    # From here on a page may have made a browser send what it cannot read itself.
    if LISTED in request:
        return None
    if acts(request) and not is_from_own_page(request):
        raise Forbidden(
            "a browser's login acts only for the service's own page (Origin, Sec-Fetch-Site): programs send"
            " Authorization: Bearer"
        )
    return found


def _proxied(request: web.Request) -> Grant | None:
    """The user whom a trusted proxy names."""
    header = context(request).settings.user_header
    if not header or not caller(request).proxied:
        return None
    names = request.headers.getall(header, [])
    if not any(names):
        return None
    if len(names) != 1 or not is_principal_name(names[0]):
        raise Unauthorized(f"{header} must name one user")
    return Grant(principal=Principal(names[0]), via="proxy")
