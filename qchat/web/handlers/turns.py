"""Turns: begin one, look at it, read its events and its raw output, cancel it."""

import asyncio
import os
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from qchat.context import context
from qchat.errors import (
    Conflict,
    PayloadTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    SessionBusy,
    SessionNotFound,
    StorageFull,
    TurnNotFound,
    ValidationError,
)
from qchat.model.event import Position
from qchat.model.eventdata import EventData
from qchat.model.turn import Turn
from qchat.service.thread import acquired
from qchat.web.access import session
from qchat.web.audit import audit_prompt
from qchat.web.download import HOSTILE, send_file
from qchat.web.operation import BINARY, Events, Media, Operation
from qchat.web.parameters import (
    AFTER_EVENT,
    AFTER_TURN,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_RANGE,
    LAST_EVENT_ID,
    RANGE,
    limit_of,
)
from qchat.web.sse import asked_position, stream
from qchat.web.views import TurnDetail, TurnPage, TurnView
from qchat.web.wire import ChatBody, chat_request, json_response, read_json

PAGE_LIMIT = limit_of(100, most=1000)


@Operation(
    answers={202: TurnView, 200: TurnView},
    body=ChatBody,
    parameters=(IDEMPOTENCY_KEY,),
    raises=(SessionNotFound, SessionBusy, Conflict, PayloadTooLarge, StorageFull),
)
async def create(request: web.Request) -> web.Response:
    """202 for a new turn, 200 for one that the request key already names."""
    ctx = context(request)
    asked = chat_request(request, await read_json(request), ctx.settings)
    turn, new = await ctx.turns.submit(
        session(request).id, asked.message, request_key=asked.request_key, queue=asked.queue
    )
    audit_prompt(request, turn, new=new)
    return json_response(TurnView.of(turn, ctx.settings.lang), status=202 if new else 200)


@Operation(answers={200: TurnPage}, parameters=(PAGE_LIMIT, AFTER_TURN), raises=(SessionNotFound,))
async def index(request: web.Request) -> web.Response:
    """In order; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    limit = PAGE_LIMIT.read(request)
    turns = ctx.store.turns(session(request).id, AFTER_TURN.read(request), limit)
    following = turns[-1].number if len(turns) == limit else None
    page = [TurnView.of(turn, ctx.settings.lang) for turn in turns]
    return json_response(TurnPage(turns=page, next=following))


def _turn(request: web.Request) -> Turn:
    ctx = context(request)
    number = request.match_info["turn"]
    turn = None
    if number.isascii() and number.isdecimal() and len(number) < 16:
        turn = ctx.store.turn(session(request).id, int(number))
    if turn is None:
        raise TurnNotFound()
    return turn


@Operation(answers={200: TurnDetail}, raises=(SessionNotFound, TurnNotFound))
async def show(request: web.Request) -> web.Response:
    """One turn, with its answer: exact when the agent has kept a record, else what its output tells."""
    ctx = context(request)
    turn = _turn(request)
    record = await asyncio.to_thread(ctx.records.of, turn) if turn.output == "markdown" else None
    facts: dict[str, Any]
    if record:
        facts = {"answer": record.answer, "answer_source": "record"}
        facts |= {"tools": record.tools, "requests": record.requests}
    else:
        answer, tools = await ctx.history.told(turn)
        facts = {"answer": answer, "answer_source": "transcript", "tools": tools}
    return json_response(TurnDetail.of(turn, ctx.settings.lang, **facts))


@Operation(answers={200: TurnView}, raises=(SessionNotFound, TurnNotFound, StorageFull))
async def cancel(request: web.Request) -> web.Response:
    """End a turn. Answered when the turn has ended; one that had ended already stays as it is."""
    ctx = context(request)
    turn = _turn(request)
    return json_response(TurnView.of(await ctx.turns.cancel(turn.session_id, turn.number), ctx.settings.lang))


@Operation(
    answers={200: Events(EventData), 204: None},
    parameters=(AFTER_EVENT, LAST_EVENT_ID),
    raises=(SessionNotFound, TurnNotFound),
)
async def events(request: web.Request) -> web.StreamResponse:
    """The events of one turn behind ``Last-Event-ID`` (or ``after``); 204 when the client has seen all."""
    ctx = context(request)
    turn = _turn(request)
    position = asked_position(request)
    if position is not None:
        if position.turn != turn.number:
            raise ValidationError(f"id {position} is of turn {position.turn}, this is turn {turn.number}")
        await ctx.feed.check(turn.session_id, position)
        if ctx.feed.seen_whole(turn, position):
            return web.Response(status=204)
    with ctx.feed.stream(turn.session_id, resumed=position is not None):
        return await stream(
            request,
            ctx.settings,
            partial(ctx.feed.turn, turn.session_id, position or Position(turn.number, 0)),
            head=b"" if position else ctx.framer.prime(turn.number),
            named_pings=True,
        )


@Operation(
    answers={200: Events(EventData)}, parameters=(AFTER_EVENT, LAST_EVENT_ID), raises=(SessionNotFound,)
)
async def session_events(request: web.Request) -> web.StreamResponse:
    """The events of a whole session, turn after turn, until it is deleted."""
    ctx, session_id = context(request), session(request).id
    position = asked_position(request)
    if position is not None:
        await ctx.feed.check(session_id, position)
    with ctx.feed.stream(session_id, resumed=position is not None):
        batches = partial(ctx.feed.session, session_id, position)
        return await stream(request, ctx.settings, batches, named_pings=True)


@Operation(
    answers={200: Media(), 206: Media(), 304: None},
    parameters=(RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH),
    raises=(SessionNotFound, TurnNotFound, PreconditionFailed, RangeNotSatisfiable),
)
async def output(request: web.Request) -> web.StreamResponse:
    """The transcript, byte for byte as the CLI wrote it, as far as there is one yet. Takes Range."""
    turn = _turn(request)
    ctx = context(request)
    path = ctx.state.transcript(turn.session_id, turn.number)
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: BINARY, hdrs.CACHE_CONTROL: "no-store"}
    try:
        fd = await acquired(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC), os.close)
    except FileNotFoundError:  # it never started
        return web.Response(body=b"", headers={**HOSTILE, **headers})
    return await send_file(request, fd, headers, ctx.settings.stall_timeout)
