"""Which pages and names may call: exact Host and Origin lists, and what browsers say of the page that asks.

An agent server that any web page can reach is remote code execution. CORS guards what a page may
read; here a request acts. So every route is guarded, GET too, except the page itself and its static
files, which hold no data, and the probes. Who may call is decided after this, in :mod:`.access`.
"""

import re

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from qchat.errors import Forbidden
from qchat.settings import Settings
from qchat.web.caller import caller, own_address

SAFE = {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS}
ACTING_GETS = {"/api/v1/chat/stream"}
PROBES = {"/livez", "/readyz"}
PAGE = {"/", "/ui/{name}"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
WILDCARDS = {"0.0.0.0", "::"}
AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9a-z_.-]+))(?::[0-9]{0,5})?", re.ASCII | re.IGNORECASE)
"""A host and its port, and nothing that could be read in two ways."""
SINGLE_HEADERS = (hdrs.ORIGIN, "Sec-Fetch-Site", hdrs.AUTHORIZATION)
"""Of two values one reader takes the first and another the last; a second ``Host`` is no HTTP at all."""
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Moz")
CORS_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
CORS_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Range,"
    " X-Session-Id"
)
CLIENT_HEADERS = ("x-stainless-", "openai-", "user-agent")
"""How the names begin of what OpenAI's own client sends, in a browser too."""
CORS_RESPONSE_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Retry-After, WWW-Authenticate, X-Session-Id"
)
LISTED = web.RequestKey("listed", str)
"""The origin on the operator's list that a request comes from; not there for the service's own page."""


def guard(settings: Settings) -> Middleware:
    """The middleware that refuses what other pages and names send."""
    hosts = frozenset({settings.host.strip("[]"), *LOOPBACK, *settings.allowed_hosts}) - WILDCARDS

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_at(request, PROBES):
            return await handler(request)
        _check_single(request)
        _check_host(request, hosts)
        if is_at(request, PAGE):
            return await handler(request)
        _check_origin(request, settings.allowed_origins)
        if request.method == hdrs.METH_OPTIONS and LISTED in request:
            return _preflight(request)
        return await handler(request)

    return guarded


def is_at(request: web.Request, paths: set[str]) -> bool:
    """Whether a request has come to one of the routes that are written so in :mod:`.routes`."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in paths


def acts(request: web.Request) -> bool:
    """Whether a request changes or runs anything."""
    return request.method not in SAFE or is_at(request, ACTING_GETS)


def is_from_own_page(request: web.Request) -> bool:
    """Whether the browser says that the service's own page asks; a program that is no browser does not."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None:
        return origin == caller(request).origin
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def _check_single(request: web.Request) -> None:
    for name in SINGLE_HEADERS:
        if len(request.headers.getall(name, ())) > 1:
            raise Forbidden(f"{name} may come once only")


def _check_host(request: web.Request, hosts: frozenset[str]) -> None:
    # A page whose name was rebound to our address still sends its own name.
    host = caller(request).host
    found = AUTHORITY.fullmatch(host)
    name = (found[1] or found[2]).lower() if found else ""
    if name not in hosts and not (name and name == own_address(request)):
        raise Forbidden(f"Host {host[:100]!r} is not served here; QCHAT_ALLOWED_HOSTS takes more names")
    # A target with a host of its own overrides the header, says HTTP: they have to agree.
    target = request.raw_path
    if not target.startswith(("/", f"http://{request.headers.get(hdrs.HOST)}/")):
        raise Forbidden(f"{target[:100]!r} is not served under this Host")


def _check_origin(request: web.Request, allowed: frozenset[str]) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    own = origin == caller(request).origin
    listed = origin in allowed and not own
    if origin is not None and not listed and not own:
        raise Forbidden(f"Origin {origin[:100]!r} may not call; QCHAT_ALLOWED_ORIGINS takes more origins")
    # "same-site" is not enough: it ignores ports, so any other server on this machine has it.
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if not (site == "same-origin" or listed or (site == "none" and not acts(request))):
        raise Forbidden(f"Sec-Fetch-Site {site[:100]!r} may not call this")
    if acts(request) and any("prefetch" in request.headers.get(name, "") for name in PREFETCH_HEADERS):
        raise Forbidden("a prefetch does not run anything")
    if listed and origin:
        request[LISTED] = origin


def _preflight(request: web.Request) -> web.Response:
    asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").lower().replace(" ", "").split(",")
    names = [CORS_REQUEST_HEADERS, *(name for name in asked if name.startswith(CLIENT_HEADERS))]
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: CORS_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(names),
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        },
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every response, as it is about to be sent: what browsers may do with it.

    A page on the operator's list may read it, and has to bring a token: credentials that browsers send
    by themselves are never allowed across origins.
    """
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if (origin := request.get(LISTED)) is None:
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = CORS_RESPONSE_HEADERS
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
