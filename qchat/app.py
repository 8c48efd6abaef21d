"""The application: routes, middlewares, lifetimes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from qchat.adapters import switch
from qchat.adapters.descriptors import Budget
from qchat.adapters.eventloop import collect_garbage
from qchat.adapters.statedir import StateDir
from qchat.context import CONTEXT, Context
from qchat.settings import Settings
from qchat.web.access import admitted
from qchat.web.audit import audited
from qchat.web.connections import CONNECTIONS, Connections
from qchat.web.control import control_site
from qchat.web.middleware import bounded, errors_as_json
from qchat.web.routes import add_routes
from qchat.web.security import add_headers, guard

MAX_BODY_BYTES = 1024 * 1024


def create_app(settings: Settings) -> web.Application:
    """Build the service. Its base directory is locked here and unlocked on cleanup.

    :raises StorageUnavailable: when the base directory cannot be used.
    :raises AlreadyRunning: when another service owns it.
    :raises TokensError: when the tokens file cannot be used.
    :raises OSError: when the audit log cannot be written.
    """
    state = StateDir.open(settings.sessions_base_dir)
    state.lock()
    switch.complete(state)  # a restore that was interrupted
    budget = Budget.take()
    ctx = Context.build(settings, state, budget.turns)
    if settings.audit_log:  # where it was asked for, it has to be
        ctx.audit.check()
    app = web.Application(
        # A character may take twelve bytes in JSON.
        client_max_size=max(MAX_BODY_BYTES, 12 * settings.max_message_chars),
        middlewares=[
            *([ctx.tracing.middleware()] if ctx.tracing else []),
            errors_as_json(settings),
            bounded(budget.requests),
            audited,
            guard(settings),
            admitted,
        ],
    )
    app[CONTEXT] = ctx
    app[CONNECTIONS] = Connections(budget.connections)
    add_routes(app)

    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams_and_turns)
    if ctx.tracing:
        app.cleanup_ctx.append(ctx.tracing.lifetime)
    app.cleanup_ctx.extend((_lock, _processes, _rows, _turns, _upkeep, _control))
    return app


# Each lifetime acquires, yields, and releases; they are released in reverse order.


async def _end_streams_and_turns(app: web.Application) -> None:
    app[CONTEXT].feed.close()
    await app[CONTEXT].turns.close()  # here, so that who waits for an answer still gets it


async def _lock(app: web.Application) -> AsyncIterator[None]:
    yield
    app[CONTEXT].state.unlock()


async def _processes(app: web.Application) -> AsyncIterator[None]:
    ctx = app[CONTEXT]
    ctx.spawner.start()  # early, while this process is small
    # Listening need not wait for the canaries; turns do.
    measuring = asyncio.create_task(ctx.launcher.measure(ctx.spawner))
    if ctx.settings.sandbox == "required":
        await measuring
    yield
    measuring.cancel()
    with suppress(asyncio.CancelledError):
        await measuring
    ctx.spawner.stop()
    ctx.launcher.sandbox.close()


async def _rows(app: web.Application) -> AsyncIterator[None]:
    database = app[CONTEXT].database
    database.open()
    yield
    database.close()


async def _turns(app: web.Application) -> AsyncIterator[None]:
    ctx = app[CONTEXT]
    await ctx.sessions.adopt()
    await ctx.turns.recover()
    yield


async def _upkeep(app: web.Application) -> AsyncIterator[None]:
    ctx = app[CONTEXT]
    works = (
        ctx.janitor.run(),
        ctx.janitor.empty_trash(),
        ctx.turns.sync_transcripts(),
        ctx.metrics.watch_loop(),
        app[CONNECTIONS].watch(),
        collect_garbage(),
    )
    tasks = [asyncio.create_task(work) for work in works]
    yield
    ctx.janitor.stop()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _control(app: web.Application) -> AsyncIterator[None]:
    async with control_site(app[CONTEXT]):
        yield
