"""Turns: begin one, look at it, read its events and its raw output, cancel it."""

import asyncio
from typing import Any

from aiohttp import hdrs, web

from qchat.context import context
from qchat.errors import TurnNotFound, ValidationError
from qchat.model.event import Position
from qchat.model.turn import Turn
from qchat.web.access import session
from qchat.web.audit import audit_prompt
from qchat.web.sse import asked_position, stream
from qchat.web.wire import chat_request, check_range, json_response, read_json, turn_json, whole_number

MAX_NUMBER = 10**15


async def create(request: web.Request) -> web.Response:
    """202 for a new turn, 200 for one that the request key already names."""
    ctx = context(request)
    asked = chat_request(request, await read_json(request), ctx.settings)
    turn, new = await ctx.turns.submit(
        session(request).id, asked.message, request_key=asked.request_key, queue=asked.queue
    )
    audit_prompt(request, turn, new=new)
    return json_response(turn_json(turn, ctx.settings.lang), status=202 if new else 200)


async def index(request: web.Request) -> web.Response:
    """In order; ``next`` is the ``after`` of the following page."""
    ctx = context(request)
    limit = whole_number(request, "limit", 100, least=1, most=1000)
    after = whole_number(request, "after", 0, least=0, most=MAX_NUMBER)
    turns = ctx.store.turns(session(request).id, after, limit)
    following = turns[-1].number if len(turns) == limit else None
    return json_response({"turns": [turn_json(turn, ctx.settings.lang) for turn in turns], "next": following})


def _turn(request: web.Request) -> Turn:
    ctx = context(request)
    number = request.match_info["turn"]
    turn = None
    if number.isascii() and number.isdecimal() and len(number) < 16:
        turn = ctx.store.turn(session(request).id, int(number))
    if turn is None:
        raise TurnNotFound()
    return turn


async def show(request: web.Request) -> web.Response:
    """With the exact answer and tools when the agent has kept a record, else what its output tells."""
    ctx = context(request)
    turn = _turn(request)
    record = await asyncio.to_thread(ctx.records.of, turn) if turn.output == "markdown" else None
    facts: dict[str, Any]
    if record:
        facts = {
            "answer_source": "record",
            **{name: record[name] for name in ("answer", "tools", "requests")},
        }
    else:
        answer, tools = await ctx.history.told(turn)
        facts = {"answer_source": "transcript", "answer": answer, "tools": tools}
    return json_response({**turn_json(turn, ctx.settings.lang), **facts})


async def cancel(request: web.Request) -> web.Response:
    """Answered when the turn has ended; one that had ended already stays as it is."""
    ctx = context(request)
    turn = _turn(request)
    return json_response(turn_json(await ctx.turns.cancel(turn.session_id, turn.number), ctx.settings.lang))


async def events(request: web.Request) -> web.StreamResponse:
    """The events of one turn behind ``Last-Event-ID`` (or ``after``); 204 when the client has seen all."""
    ctx = context(request)
    turn = _turn(request)
    position = asked_position(request)
    if position is not None:
        if position.turn != turn.number:
            raise ValidationError(f"id {position} is of turn {position.turn}, this is turn {turn.number}")
        ctx.feed.check(turn.session_id, position)
        if ctx.feed.seen_whole(turn, position):
            return web.Response(status=204)
    with ctx.feed.stream(turn.session_id):
        return await stream(
            request,
            ctx.settings,
            ctx.feed.turn(turn.session_id, position or Position(turn.number, 0)),
            head=b"" if position else ctx.framer.prime(turn.number),
            named_pings=True,
        )


async def session_events(request: web.Request) -> web.StreamResponse:
    """The events of a whole session, turn after turn, until it is deleted."""
    ctx, session_id = context(request), session(request).id
    position = asked_position(request)
    if position is not None:
        ctx.feed.check(session_id, position)
    with ctx.feed.stream(session_id):
        batches = ctx.feed.session(session_id, position)
        return await stream(request, ctx.settings, batches, named_pings=True)


async def output(request: web.Request) -> web.StreamResponse:
    """The transcript, byte for byte as the CLI wrote it, as far as there is one yet. Takes Range."""
    turn = _turn(request)
    path = context(request).state.transcript(turn.session_id, turn.number)
    headers = {
        hdrs.CONTENT_TYPE: "application/octet-stream",
        hdrs.CACHE_CONTROL: "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if not path.exists():  # it never started
        return web.Response(body=b"", headers=headers)
    check_range(request, path.stat().st_size)
    return web.FileResponse(path, headers=headers)
