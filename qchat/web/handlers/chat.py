"""The drop-in chat: a prompt in, an answer out, whole or as a stream."""

from typing import Any

from aiohttp import web

from qchat.adapters.submission import Repeat
from qchat.context import context
from qchat.errors import TurnFailed, ValidationError
from qchat.model.event import Position
from qchat.model.failure import failure
from qchat.model.frame import ending_facts
from qchat.model.turn import Turn
from qchat.web.access import principal
from qchat.web.audit import audit_prompt
from qchat.web.sse import asked_position, stream
from qchat.web.wire import ChatRequest, chat_request, json_response, read_json


async def chat(request: web.Request) -> web.Response:
    """Wait for the whole answer."""
    ctx = context(request)
    asked = chat_request(request, await read_json(request), ctx.settings)
    # A browser that was answered 408 repeats the request by itself; that must not run it again.
    turn, _ = await _submit(request, asked, repeat="timed_out")
    with ctx.feed.stream(turn.session_id):
        turn = await ctx.turns.wait(turn.session_id, turn.number)
    assert turn.ending is not None
    facts = ending_facts(turn, ctx.settings.lang)
    if turn.ending.code:
        raise _failed(turn, facts)
    answer = await ctx.history.answer(turn)
    return json_response(
        {
            "session_id": turn.session_id,
            "response": answer,
            "message": answer,
            "timestamp": turn.ending.ended,
            "turn": turn.number,
            "reason": turn.ending.reason,
        }
    )


def _failed(turn: Turn, facts: dict[str, Any]) -> TurnFailed:
    assert turn.ending is not None
    row = failure(turn.ending.code)
    extra = {name: facts[name] for name in ("session_id", "turn", "reason", "suggestions")}
    texts = {lang: row.text(lang, turn.ending.detail) for lang in ("zh", "en")}
    return TurnFailed(facts["code"], row.status, texts, details=turn.ending.detail or None, **extra)


async def chat_stream(request: web.Request) -> web.StreamResponse:
    """The answer as a stream."""
    asked = chat_request(request, await read_json(request), context(request).settings)
    turn, _ = await _submit(request, asked, repeat="timed_out")
    return await _stream(request, turn, None)


async def chat_event_source(request: web.Request) -> web.StreamResponse:
    """For a bare ``new EventSource(url)``, which repeats its GET after every end of a stream.

    A repeat carries the id that the first bytes have set, and only attaches; one that has lost even
    that is known by its key, or by the same prompt in a turn that runs or has just ended.
    """
    ctx = context(request)
    fields: dict[str, Any] = dict(request.query)
    if not fields.get("session_id"):
        raise ValidationError(
            zh="缺少必需字段: session_id",
            en="missing field: session_id (POST /api/v1/chat/stream creates one)",
        )
    asked = chat_request(request, fields, ctx.settings)
    assert asked.session_id is not None
    position = asked_position(request)
    if position is None:
        turn, _ = await _submit(request, asked, repeat="any")
        return await _stream(request, turn, None)
    ctx.sessions.get(asked.session_id, principal(request))
    turn = ctx.feed.check(asked.session_id, position)
    if ctx.feed.seen_whole(turn, position):
        return web.Response(status=204)
    return await _stream(request, turn, position)


async def _submit(request: web.Request, asked: ChatRequest, *, repeat: Repeat) -> tuple[Turn, bool]:
    turn, new = await context(request).chat.submit(
        principal(request),
        asked.session_id,
        asked.message,
        request_key=asked.request_key,
        queue=asked.queue,
        repeat=repeat,
    )
    audit_prompt(request, turn, new=new, creates=asked.session_id is None)
    return turn, new


async def _stream(request: web.Request, turn: Turn, position: Position | None) -> web.StreamResponse:
    ctx = context(request)
    head = b"" if position else ctx.framer.prime(turn.number)
    with ctx.feed.stream(turn.session_id):
        return await stream(
            request,
            ctx.settings,
            ctx.feed.turn(turn.session_id, position or Position(turn.number, 0)),
            head=head + ctx.framer.session(turn.session_id, turn.number),
        )
