"""What goes to the audit log: every request that acts, downloads or tries a token, once, with how it went."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from qchat.context import context
from qchat.errors import QchatError, Unauthorized
from qchat.model.turn import Turn
from qchat.web.access import GRANT
from qchat.web.caller import caller
from qchat.web.security import acts

SESSION = "/api/v1/sessions/{session_id}"
ACTIONS = {
    ("POST", "/api/v1/sessions"): "create_session",
    ("PATCH", SESSION): "change_session",
    ("DELETE", SESSION): "delete_session",
    ("POST", "/api/v1/chat"): "prompt",
    ("POST", "/api/v1/chat/stream"): "prompt",
    ("GET", "/api/v1/chat/stream"): "prompt",
    ("POST", "/v1/chat/completions"): "prompt",
    ("POST", f"{SESSION}/turns"): "prompt",
    ("POST", SESSION + "/turns/{turn}/cancel"): "cancel",
    ("GET", SESSION + "/turns/{turn}/output"): "download",
    ("GET", f"{SESSION}/archive"): "download",
    ("GET", SESSION + "/files/{path}"): "download",
    ("PUT", SESSION + "/files/{path}"): "upload",
    ("POST", f"{SESSION}/files"): "upload",
    ("DELETE", SESSION + "/files/{path}"): "delete_file",
}
"""What requests are called in the log; one that acts and is not here goes by its method and route."""
WRITTEN = web.RequestKey("written", bool)


@web.middleware
async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The middleware that writes down how requests ended, for handlers that did not do so themselves."""
    outcome = "aborted"
    try:
        response = await handler(request)
        outcome = "ok" if response.status < 400 else str(response.status)
        return response
    except web.HTTPException as error:  # no such route, or not with this method
        request[WRITTEN] = error.status < 500
        raise
    except QchatError as error:
        outcome = error.code
        if isinstance(error, Unauthorized) and hdrs.AUTHORIZATION in request.headers:
            audit(request, "authenticate", outcome=outcome)
        raise
    finally:
        action = _action(request)
        if action and GRANT in request and WRITTEN not in request:
            audit(request, action, outcome=outcome)


def _action(request: web.Request) -> str:
    resource = request.match_info.route.resource
    if resource is None:
        return ""
    route = f"{request.method} {resource.canonical}"
    return ACTIONS.get((request.method, resource.canonical), route if acts(request) else "")


def audit(
    request: web.Request, action: str, *, outcome: str = "ok", session: str = "", turn: int | None = None
) -> None:
    """Write a line now; the session, the turn and the path are the URL's where nothing else is said."""
    request[WRITTEN] = True
    named, grant, source = request.match_info, request.get(GRANT), caller(request)
    context(request).audit.write(
        action,
        outcome=outcome,
        principal=(grant.principal.name or "operator") if grant else None,
        token=grant.token if grant else None,
        via=grant.via if grant else None,
        client=source.address,
        session=session or named.get("session_id"),
        turn=turn if turn is not None else named.get("turn"),
        path=named.get("path"),
    )


def audit_prompt(request: web.Request, turn: Turn, *, new: bool, creates: bool = False) -> None:
    """A prompt was taken; ``creates``: its session was made for it. One that repeats a turn only reads."""
    request[WRITTEN] = True
    if new and creates:
        audit(request, "create_session", session=turn.session_id)
    if new:
        audit(request, "prompt", session=turn.session_id, turn=turn.number)
