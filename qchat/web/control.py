"""The service's end of the control socket: a second, small application for the operator's tool.

=====================  ==========================================================================
``GET /status``        ``{version, pid, agent, agent_available, sessions, running_turns,
                       queued_turns, open_streams, isolation, settings: {VARIABLE: text}}``
``POST /cleanup``      ``{kind: "empty" | "old", hours, sessions: [id]}`` gives
                       ``{removed: [id], kept: {id: why}, failed: {id: why}}``
=====================  ==========================================================================

Who may open the socket may do anything: that is the service's own user, and root.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

import qchat
from qchat.adapters import control
from qchat.context import CONTEXT, Context
from qchat.errors import ValidationError
from qchat.model.cleanup import Rule
from qchat.model.session import is_session_id
from qchat.settings import in_force
from qchat.web.middleware import errors_as_json
from qchat.web.wire import json_response, read_json

log = structlog.get_logger()
MAX_BODY_BYTES = 16 * 1024 * 1024


@asynccontextmanager
async def control_site(ctx: Context) -> AsyncIterator[None]:
    """Answer on the control socket. Without it the service works, and the tool only looks."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[errors_as_json(ctx.settings)])
    app[CONTEXT] = ctx
    app.router.add_get("/status", status)
    app.router.add_post("/cleanup", cleanup)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, control.bind(ctx.state.control_socket)).start()
    except OSError as error:
        log.error("no control socket", path=str(ctx.state.control_socket), error=error.strerror)
    try:
        yield
    finally:
        await runner.cleanup()
        control.unbind(ctx.state.control_socket)


async def status(request: web.Request) -> web.Response:
    ctx = request.app[CONTEXT]
    report = ctx.launcher.sandbox.report
    found: dict[str, Any] = {
        "version": qchat.__version__,
        "pid": os.getpid(),
        "agent": ctx.launcher.describe(),
        "agent_available": ctx.launcher.available,
        "isolation": {**report.to_json(), "sentences": report.sentences()},
        "sessions": ctx.store.count_sessions(),
        "running_turns": ctx.turns.running,
        "queued_turns": ctx.turns.waiting,
        "open_streams": ctx.feed.streams,
        "settings": in_force(ctx.settings),
    }
    return json_response(found)


async def cleanup(request: web.Request) -> web.Response:
    rule, session_ids = _cleanup_request(await read_json(request))
    cleaned = await request.app[CONTEXT].cleanup.clean(rule, session_ids)
    return json_response(
        {"removed": cleaned.removed, "kept": dict(cleaned.kept), "failed": dict(cleaned.failed)}
    )


def _cleanup_request(body: dict[str, Any]) -> tuple[Rule, list[str]]:
    kind, hours, session_ids = body.get("kind"), body.get("hours"), body.get("sessions")
    if kind not in ("empty", "old"):
        raise ValidationError(f'kind={kind!r}: it takes "empty" or "old"')
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not math.isfinite(hours) or hours < 0:
        raise ValidationError(f"hours={hours!r}: it takes a number of at least 0")
    if not isinstance(session_ids, list) or not all(map(is_session_id, session_ids)):
        raise ValidationError("sessions: it takes a list of session ids")
    return Rule(kind, float(hours)), session_ids
