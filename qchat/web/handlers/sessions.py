"""Sessions: make, list, show, change, delete; and what was said in them."""

import asyncio
from math import isfinite
from typing import Any

from aiohttp import web

from qchat.context import context
from qchat.errors import ValidationError
from qchat.model.session import Session, is_session_id
from qchat.web.access import principal
from qchat.web.access import session as session_of
from qchat.web.audit import audit
from qchat.web.wire import json_response, read_json, session_changes, session_json, whole_number


async def create(request: web.Request) -> web.Response:
    """The body is optional and ignored."""
    session = await context(request).sessions.create(principal(request))
    audit(request, "create_session", session=session.id)
    return json_response({"session_id": session.id, "created_at": session.created}, status=201)


async def index(request: web.Request) -> web.Response:
    """Newest first; ``next`` is the ``before`` of the following page."""
    ctx = context(request)
    limit = whole_number(request, "limit", 50, least=1, most=1000)
    found = ctx.sessions.visible(principal(request), limit + 1, _cursor(request))
    page = found[:limit]
    following = f"{page[-1].created!r}_{page[-1].id}" if len(found) > limit else None
    return json_response({"sessions": [_json(request, session) for session in page], "next": following})


def _cursor(request: web.Request) -> tuple[float, str] | None:
    before = request.query.get("before", "")
    if not before:
        return None
    created, _, session_id = before.partition("_")
    try:
        if is_session_id(session_id) and isfinite(float(created)):
            return float(created), session_id
        raise ValueError(before)
    except ValueError:
        raise ValidationError(f"before={before[:100]!r}: it takes the next of an earlier page") from None


def _json(request: web.Request, session: Session) -> dict[str, Any]:
    ctx = context(request)
    last = ctx.store.last_turn(session.id)
    return {
        **session_json(session, ctx.settings, str(ctx.state.workspace(session.id))),
        "expires_at": ctx.sessions.expires_at(session),
        "last_turn": {"turn": last.number, "state": last.state} if last else None,
    }


async def show(request: web.Request) -> web.Response:
    ctx = context(request)
    session = session_of(request)
    usage = await asyncio.to_thread(ctx.files.usage, session.id)
    limits = {"bytes": ctx.settings.session_bytes, "files": ctx.settings.session_files}
    taken = {"bytes": usage.bytes, "files": usage.entries}
    return json_response({**_json(request, session), "usage": taken, "limits": limits})


async def delete(request: web.Request) -> web.Response:
    """The directory is gone when this is answered."""
    await context(request).sessions.delete(session_of(request).id)
    return json_response({"message": "会话已删除"})


async def patch(request: web.Request) -> web.Response:
    """Change ``title``, ``pinned`` and ``expires_in`` (seconds; null for the default)."""
    ctx = context(request)
    session = session_of(request)
    changes = session_changes(await read_json(request))
    return json_response(_json(request, await ctx.sessions.change(session.id, **changes)))


async def messages(request: web.Request) -> web.Response:
    """Prompts and answers in order; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    session = session_of(request)
    limit = whole_number(request, "limit", 50, least=1, most=200)
    after = whole_number(request, "after", 0, least=0, most=10**15)
    turns = ctx.store.turns(session.id, after, limit)
    found = []
    for turn in turns:
        found += await ctx.history.messages(turn)
    following = turns[-1].number if len(turns) == limit else None
    return json_response({"session_id": session.id, "messages": found, "next": following})
