"""The service itself: the page, its state, its probes."""

import re
import time
from pathlib import Path

from aiohttp import hdrs, web
from attrs import evolve
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

import qchat
from qchat.context import context
from qchat.errors import EndpointNotFound
from qchat.web.access import GRANT
from qchat.web.operation import Media, Operation
from qchat.web.views import HealthView, IsolationView, ServiceView
from qchat.web.wire import json_response

UI = Path(qchat.__file__).parent / "ui"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; worker-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types dompurify qchat"
)
TEXT = Media(("text/plain",))
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of the page's files. The router hands over ``%2F`` as a slash, so a name could be any path."""
HASHED = re.compile(r"-[0-9a-f]{10}\.")
"""Names that carry a hash of what they name, which browsers may keep for ever."""
PAGE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-cache",
}


@Operation(answers={200: (ServiceView, Media(("text/html",)))})
async def root(request: web.Request) -> web.StreamResponse:
    """Browsers get the chat page, others what there is."""
    if "text/html" in request.headers.get(hdrs.ACCEPT, "") and (UI / "index.html").exists():
        return web.FileResponse(UI / "index.html", headers=PAGE_HEADERS)
    endpoints = {
        "chat": "/api/v1/chat",
        "stream_chat": "/api/v1/chat/stream",
        "sessions": "/api/v1/sessions",
        "session_files": "/api/v1/sessions/{session_id}/files",
        "health": "/health",
    }
    return json_response(ServiceView(version=qchat.__version__, endpoints=endpoints))


async def static(request: web.Request) -> web.StreamResponse:
    """A file of the page, from one directory."""
    name = request.match_info["name"]
    path = UI / name
    if not PLAIN.fullmatch(name) or not path.is_file():
        raise EndpointNotFound()
    headers = dict(PAGE_HEADERS)
    if HASHED.search(name):
        headers[hdrs.CACHE_CONTROL] = "public, max-age=31536000, immutable"
    return web.FileResponse(path, headers=headers)


@Operation(answers={200: HealthView})
async def health(request: web.Request) -> web.Response:
    """Degraded when no agent CLI answers; asks no process. Somebody unknown learns no more than that."""
    ctx = context(request)
    available = ctx.launcher.available
    found = HealthView(status="healthy" if available else "degraded", timestamp=time.time())
    if GRANT not in request:
        return json_response(found)
    return json_response(
        evolve(
            found,
            qcli_available=available,
            active_sessions=ctx.store.count_sessions(),
            active_processes=ctx.turns.running,
            version=qchat.__version__,
            agent=ctx.launcher.name,
            isolation=IsolationView.of(ctx.launcher.sandbox.report),
            queued_turns=ctx.turns.waiting,
            open_streams=ctx.feed.streams,
        )
    )


@Operation(answers={200: TEXT})
async def metrics(request: web.Request) -> web.Response:
    """Numbers for Prometheus."""
    return web.Response(
        body=context(request).metrics.render(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4}
    )


@Operation(answers={200: TEXT}, probe=True)
async def alive(_: web.Request) -> web.Response:
    """Whether the service runs at all."""
    return web.Response(text="ok\n")


@Operation(answers={200: TEXT, 503: TEXT}, probe=True)
async def ready(request: web.Request) -> web.Response:
    """Whether the service takes work: from when agents are known to be kept in, until it goes down."""
    ctx = context(request)
    if ctx.turns.closing:
        return web.Response(status=503, text="going down\n")
    if not ctx.launcher.measured.is_set():
        return web.Response(status=503, text="starting\n")
    return web.Response(text="ok\n")
