"""Work that is finished once it has begun, although whoever asked for it may leave."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_begun: set[asyncio.Task[Any]] = set()


def shielded(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Awaitable[T]]:
    """Let ``work`` run to its end when its caller is cancelled.

    A request is cancelled when its client leaves; what it has begun to write must not be left half
    done, such as a turn whose row says that it runs while nobody runs it.
    """

    @functools.wraps(work)
    async def begin(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(work(*args, **kwargs))
        _begun.add(task)
        task.add_done_callback(_end)
        return await asyncio.shield(task)

    return begin


def _end(task: asyncio.Task[Any]) -> None:
    _begun.discard(task)
    if not task.cancelled():
        task.exception()  # told to the caller, if there still is one


async def all_finished() -> None:
    """Return when nothing that was begun in this loop is unfinished."""
    loop = asyncio.get_running_loop()
    while mine := [task for task in _begun if task.get_loop() is loop]:
        await asyncio.wait(mine)
