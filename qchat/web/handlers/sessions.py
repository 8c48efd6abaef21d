"""Sessions: make, list, show, change, delete; and what was said in them."""

import asyncio
import re

from aiohttp import web

from qchat.context import context
from qchat.errors import PayloadTooLarge, SessionNotFound, StorageFull, ValidationError
from qchat.model.session import Session
from qchat.model.shape import SESSION_ID
from qchat.service.history import Message
from qchat.web.access import principal
from qchat.web.access import session as session_of
from qchat.web.audit import audit
from qchat.web.operation import Operation
from qchat.web.parameters import AFTER_TURN, Parameter, limit_of
from qchat.web.views import (
    Deleted,
    MessagePage,
    NewSession,
    Room,
    SessionDetail,
    SessionPage,
    SessionView,
)
from qchat.web.wire import SessionBody, json_response, read_json, session_changes

PAGE_LIMIT = limit_of(50, most=1000)
MESSAGE_LIMIT = limit_of(50, most=200)
BEFORE = Parameter(
    "before",
    "only older ones: the next of an earlier page",
    pattern=rf"(-?[0-9]{{1,15}}(?:\.[0-9]{{1,20}})?(?:e[+-][0-9]{{1,2}})?)_({SESSION_ID})|",
)


@Operation(answers={201: NewSession}, raises=(StorageFull,))
async def create(request: web.Request) -> web.Response:
    """The body is optional and ignored."""
    session = await context(request).sessions.create(principal(request))
    audit(request, "create_session", session=session.id)
    return json_response(NewSession(session_id=session.id, created_at=session.created), status=201)


@Operation(answers={200: SessionPage}, parameters=(PAGE_LIMIT, BEFORE))
async def index(request: web.Request) -> web.Response:
    """Newest first; ``next`` is the ``before`` of the following page."""
    ctx = context(request)
    limit = PAGE_LIMIT.read(request)
    found = ctx.sessions.visible(principal(request), limit + 1, _cursor(request))
    page = found[:limit]
    following = f"{page[-1].created!r}_{page[-1].id}" if len(found) > limit else None
    return json_response(SessionPage(sessions=[_view(request, session) for session in page], next=following))


def _cursor(request: web.Request) -> tuple[float, str] | None:
    before = BEFORE.text(request)
    if not before:
        return None
    found = re.fullmatch(BEFORE.pattern, before)
    if found is None:
        raise ValidationError(f"before={before[:100]!r}: it takes the next of an earlier page")
    return float(found[1]), found[2]


def _view(request: web.Request, session: Session, **room: Room) -> SessionView:
    ctx = context(request)
    cls = SessionDetail if room else SessionView
    return cls.of(
        session,
        ctx.settings,
        str(ctx.state.workspace(session.id)),
        expires_at=ctx.sessions.expires_at(session),
        last=ctx.store.last_turn(session.id),
        **room,
    )


@Operation(answers={200: SessionDetail}, raises=(SessionNotFound,))
async def show(request: web.Request) -> web.Response:
    """One session, and what its workspace takes and may take."""
    ctx = context(request)
    session = session_of(request)
    usage = await asyncio.to_thread(ctx.files.usage, session.id)
    limits = Room(bytes=ctx.settings.session_bytes, files=ctx.settings.session_files)
    taken = Room(bytes=usage.bytes, files=usage.entries)
    return json_response(_view(request, session, usage=taken, limits=limits))


@Operation(answers={200: Deleted}, raises=(SessionNotFound, StorageFull))
async def delete(request: web.Request) -> web.Response:
    """End what runs, and remove directory and history: gone when this is answered."""
    await context(request).sessions.delete(session_of(request).id)
    return json_response(Deleted())


@Operation(
    answers={200: SessionView}, body=SessionBody, raises=(SessionNotFound, PayloadTooLarge, StorageFull)
)
async def patch(request: web.Request) -> web.Response:
    """Change ``title``, ``pinned`` and ``expires_in`` (seconds; null for the default)."""
    ctx = context(request)
    session = session_of(request)
    changes = session_changes(await read_json(request))
    return json_response(_view(request, await ctx.sessions.change(session.id, **changes)))


@Operation(answers={200: MessagePage}, parameters=(MESSAGE_LIMIT, AFTER_TURN), raises=(SessionNotFound,))
async def messages(request: web.Request) -> web.Response:
    """Prompts and answers in order; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    session = session_of(request)
    limit = MESSAGE_LIMIT.read(request)
    turns = ctx.store.turns(session.id, AFTER_TURN.read(request), limit)
    found: list[Message] = []
    for turn in turns:
        found += await ctx.history.messages(turn)
    following = turns[-1].number if len(turns) == limit else None
    return json_response(MessagePage(session_id=session.id, messages=found, next=following))
