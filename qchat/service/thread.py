"""Blocking work in a thread that owns what it works on until it has finished."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As :func:`asyncio.to_thread`, but a caller that is cancelled waits for the end of ``work``.

    Else it would close a descriptor that the thread writes to, whose number may belong to another
    file by then.
    """
    return await acquired(partial(work, *args, **kwargs), lambda _: None)


async def acquired(work: Callable[[], T], release: Callable[[T], object]) -> T:
    """What ``work`` opens in a thread; it is released when the caller was cancelled meanwhile."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if future.exception() is None:
            release(future.result())
        raise
