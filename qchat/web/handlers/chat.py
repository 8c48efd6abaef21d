"""The drop-in chat: a prompt in, an answer out, whole or as a stream."""

from functools import partial
from typing import Any

from aiohttp import web

from qchat.adapters.submission import Repeat
from qchat.context import context
from qchat.errors import (
    Conflict,
    PayloadTooLarge,
    SessionBusy,
    SessionNotFound,
    StorageFull,
    TurnFailed,
    TurnNotFound,
    ValidationError,
)
from qchat.model.event import Position
from qchat.model.eventdata import ErrorData, EventData
from qchat.model.failure import failure
from qchat.model.frame import ending_data
from qchat.model.turn import Turn
from qchat.web.access import principal
from qchat.web.audit import audit_prompt
from qchat.web.operation import Events, Operation
from qchat.web.parameters import AFTER_EVENT, EVENT_SOURCE, IDEMPOTENCY_KEY, LAST_EVENT_ID
from qchat.web.sse import asked_position, stream
from qchat.web.views import ChatAnswer
from qchat.web.wire import ChatBody, ChatRequest, chat_request, json_response, read_json


@Operation(
    answers={200: ChatAnswer},
    body=ChatBody,
    parameters=(IDEMPOTENCY_KEY,),
    raises=(SessionNotFound, TurnNotFound, SessionBusy, Conflict, PayloadTooLarge, StorageFull),
    turn_fails=True,
)
async def chat(request: web.Request) -> web.Response:
    """Wait for the whole answer."""
    ctx = context(request)
    asked = chat_request(request, await read_json(request), ctx.settings)
    # A browser that was answered 408 repeats the request by itself; that must not run it again.
    turn, _ = await _submit(request, asked, repeat="timed_out")
    with ctx.feed.stream(turn.session_id):
        turn = await ctx.turns.wait(turn.session_id, turn.number)
    ended = ending_data(turn, ctx.settings.lang)
    if isinstance(ended, ErrorData):
        raise turn_failed(turn, ctx.settings.lang)
    assert turn.ending is not None
    answer = await ctx.history.answer(turn)
    return json_response(
        ChatAnswer(
            session_id=turn.session_id,
            response=answer,
            message=answer,
            timestamp=turn.ending.ended,
            turn=turn.number,
            reason=ended.reason,
        )
    )


def turn_failed(turn: Turn, lang: str) -> TurnFailed:
    """Why a turn has no answer, for who waited for one."""
    data = ending_data(turn, lang)
    assert turn.ending is not None
    assert isinstance(data, ErrorData)
    row = failure(turn.ending.code)
    texts = {lang: row.text(lang, turn.ending.detail) for lang in ("zh", "en")}
    return TurnFailed(
        data.code,
        data.http_status,
        texts,
        details=turn.ending.detail or None,
        session_id=data.session_id,
        turn=data.turn,
        reason=data.reason,
        suggestions=data.suggestions,
        **({"retry_after": row.retry_after} if row.retry_after else {}),
    )


@Operation(
    answers={200: Events(EventData)},
    body=ChatBody,
    parameters=(IDEMPOTENCY_KEY,),
    raises=(SessionNotFound, SessionBusy, Conflict, PayloadTooLarge, StorageFull),
)
async def chat_stream(request: web.Request) -> web.StreamResponse:
    """The answer as a stream."""
    asked = chat_request(request, await read_json(request), context(request).settings)
    turn, _ = await _submit(request, asked, repeat="timed_out")
    return await _stream(request, turn, None)


@Operation(
    answers={200: Events(EventData), 204: None},
    parameters=(*EVENT_SOURCE, AFTER_EVENT, LAST_EVENT_ID, IDEMPOTENCY_KEY),
    raises=(SessionNotFound, SessionBusy, Conflict, StorageFull),
)
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
    turn = await ctx.feed.check(asked.session_id, position)
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
    with ctx.feed.stream(turn.session_id, resumed=position is not None):
        return await stream(
            request,
            ctx.settings,
            partial(ctx.feed.turn, turn.session_id, position or Position(turn.number, 0)),
            head=head + ctx.framer.session(turn.session_id, turn.number),
        )
