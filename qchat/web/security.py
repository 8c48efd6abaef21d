"""Who may call: exact Host and Origin lists, and what browsers say of the page that asks.

An agent server that any web page can reach is remote code execution. CORS guards what a page may
read; here a request acts. So every route is guarded, GET too, except the page itself and its static
files, which hold no data, and the probes.
"""

from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from qchat.errors import Forbidden
from qchat.settings import Settings

SAFE = {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS}
ACTING_GETS = {"/api/v1/chat/stream"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Moz")


def guard(settings: Settings) -> Middleware:
    """The middleware that lets in who belongs."""
    hosts = frozenset({settings.host.strip("[]"), *LOOPBACK, *settings.allowed_hosts})

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in ("/livez", "/readyz"):
            return await handler(request)
        _check_host(request, hosts)
        if request.path == "/" or request.path.startswith("/ui/"):
            return await handler(request)
        _check_origin(request, settings.allowed_origins)
        return await handler(request)

    return guarded


def acts(request: web.Request) -> bool:
    """Whether a request changes or runs anything."""
    return request.method not in SAFE or request.path in ACTING_GETS


def _check_host(request: web.Request, hosts: frozenset[str]) -> None:
    # A page whose name was rebound to our address still sends its own name.
    host = request.headers.get(hdrs.HOST, "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in hosts:
        raise Forbidden(f"Host {host[:100]!r} is not served here; QCHAT_ALLOWED_HOSTS takes more names")


def _check_origin(request: web.Request, allowed: frozenset[str]) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    listed = origin in allowed
    if origin is not None and not listed and origin != f"{request.scheme}://{request.host}":
        raise Forbidden(f"Origin {origin[:100]!r} may not call; QCHAT_ALLOWED_ORIGINS takes more origins")
    # "same-site" is not enough: it ignores ports, so any other server on this machine has it.
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if not (site == "same-origin" or listed or (site == "none" and not acts(request))):
        raise Forbidden(f"Sec-Fetch-Site {site[:100]!r} may not call this")
    if acts(request) and any("prefetch" in request.headers.get(name, "") for name in PREFETCH_HEADERS):
        raise Forbidden("a prefetch does not run anything")
