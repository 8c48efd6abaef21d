"""OpenAI's API, for the chat front ends and bots that speak it: a turn, seen as a chat completion."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import hdrs, web

from qchat.context import Context, context
from qchat.errors import (
    Conflict,
    EndpointNotFound,
    PayloadTooLarge,
    QchatError,
    SessionBusy,
    SessionNotFound,
    StorageFull,
    TurnFailed,
    TurnNotFound,
)
from qchat.model.event import Position
from qchat.model.frame import PING, unframe
from qchat.model.shape import to_json
from qchat.model.turn import Turn
from qchat.web.access import principal
from qchat.web.audit import audit_prompt
from qchat.web.handlers.chat import turn_failed
from qchat.web.openai_views import (
    ACCEPTED,
    Answer,
    Choice,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delta,
    Model,
    ModelList,
    OpenAIErrorBody,
    error_body,
    names,
)
from qchat.web.openai_wire import SESSION_HEADER, CompletionBody, CompletionRequest, completion_request
from qchat.web.operation import Events, Operation
from qchat.web.parameters import IDEMPOTENCY_KEY, Header
from qchat.web.sse import stream
from qchat.web.wire import in_json, json_response, read_json, request_key

ATTEMPT = Header("X-Stainless-Retry-Count", "how often the client has repeated this request by itself")
SESSION = Header(SESSION_HEADER, "the session to go on in; a new one is made without")
DONE = b"data: [DONE]\n\n"


@Operation(
    answers={200: (Completion, Events(CompletionChunk))},
    body=CompletionBody,
    parameters=(SESSION, IDEMPOTENCY_KEY, ATTEMPT),
    raises=(SessionNotFound, TurnNotFound, SessionBusy, Conflict, PayloadTooLarge, StorageFull),
    turn_fails=True,
    error_body=OpenAIErrorBody,
)
async def complete(request: web.Request) -> web.StreamResponse:
    """Continue a conversation.

    In a session that the request names, the prompt is the last message of the user. Without one, a new
    session gets the whole list. A client that leaves does not end the turn.
    """
    ctx = context(request)
    fields = await read_json(request)
    asked = completion_request(request.headers, fields, ctx.settings)
    key = request_key(request, fields) or await _derived_key(request, asked)
    turn, new = await ctx.chat.submit(
        principal(request), asked.session_id, asked.prompt, request_key=key, queue=asked.queue
    )
    request[ACCEPTED] = True
    audit_prompt(request, turn, new=new, creates=asked.session_id is None)
    with ctx.feed.stream(turn.session_id):
        if asked.stream:
            headers = {SESSION_HEADER: turn.session_id}
            return await stream(request, ctx.settings, lambda _: _chunks(ctx, turn, asked), headers=headers)
        turn = await ctx.turns.wait(turn.session_id, turn.number)
    return await _whole(ctx, turn)


async def _derived_key(request: web.Request, asked: CompletionRequest) -> str:
    """A repeat is known by its bytes and by who sends them."""
    sender = (request.remote or "", request.headers.get(hdrs.AUTHORIZATION, ""), asked.session_id or "")
    digest = hashlib.sha256("\0".join(sender).encode("utf-8", "replace") + b"\0" + await request.read())
    again = ATTEMPT.text(request) not in ("", "0")
    repeats = context(request).repeats
    return repeats.key(principal(request), asked.session_id, digest.hexdigest()[:32], again=again)


async def _whole(ctx: Context, turn: Turn) -> web.Response:
    if turn.ending is not None and turn.ending.code:
        raise turn_failed(turn, ctx.settings.lang)
    answer = Answer(content=await ctx.history.answer(turn))
    body = Completion(**names(turn, ctx.launcher.name), choices=[Choice(message=answer)])
    return json_response(body, headers={SESSION_HEADER: turn.session_id})


async def _chunks(ctx: Context, turn: Turn, asked: CompletionRequest) -> AsyncGenerator[bytes]:
    """The turn's events as pieces of a completion."""

    def chunk(delta: Delta | None, *, last: bool = False) -> bytes:
        choices = [ChunkChoice(delta=delta, finish_reason="stop" if last else None)] if delta else []
        return _frame(CompletionChunk.of(turn, ctx.launcher.name, *choices))

    yield chunk(Delta(role="assistant", content=""))
    async with aclosing(ctx.feed.turn(turn.session_id, Position(turn.number, 0))) as batches:
        async for batch in batches:
            if not batch or batch is PING:
                yield batch
                continue
            found = list(unframe(batch))
            if text := "".join(one["message"] for one in found if one["type"] == "chunk"):
                yield chunk(Delta(content=text))
            if found and found[-1]["type"] in ("error", "reconnect", "session_deleted"):
                yield _frame(error_body(_ended(ctx, turn, found[-1]), ctx.settings.lang))
    turn = ctx.store.turn(turn.session_id, turn.number) or turn
    if turn.ending is not None and not turn.ending.code:
        yield chunk(Delta(), last=True)
        yield (chunk(None) if asked.include_usage else b"") + DONE


def _ended(ctx: Context, turn: Turn, event: dict[str, Any]) -> QchatError:
    """Why the answer is not whole."""
    if event["type"] == "session_deleted":
        return SessionNotFound()
    ended = ctx.store.turn(turn.session_id, turn.number)
    if ended is not None and ended.ending is not None:
        return turn_failed(ended, ctx.settings.lang)
    texts = {
        "zh": "服务正在重启，本轮对话仍会保留",
        "en": "the service goes down; the turn stays",
    }
    return TurnFailed("INTERRUPTED", 503, texts)


def _frame(data: Any) -> bytes:
    return f"data: {to_json(data)}\n\n".encode("utf-8", "backslashreplace")


@Operation(answers={200: ModelList}, error_body=OpenAIErrorBody)
async def models(request: web.Request) -> web.Response:
    """The agent that answers, whatever model a request names."""
    return json_response(ModelList(data=[Model(id=context(request).launcher.name)]))


@Operation(answers={200: Model}, raises=(EndpointNotFound,), error_body=OpenAIErrorBody)
async def model(request: web.Request) -> web.Response:
    """One model."""
    name = context(request).launcher.name
    if request.match_info["model"] != name:
        asked = in_json(request.match_info["model"])
        raise EndpointNotFound(
            f"model={asked}: there is {in_json(name)}", zh="没有这个模型", en="there is no such model"
        )
    return json_response(Model(id=name))
