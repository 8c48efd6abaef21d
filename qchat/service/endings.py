"""How a turn's end is made a fact: written down first, told then."""

import asyncio
from collections.abc import Callable

import structlog
from attrs import define

from qchat.adapters.store import Store
from qchat.errors import QchatError
from qchat.model.turn import Ending, Turn
from qchat.service.feed import Feed
from qchat.service.idle import IdleClock
from qchat.service.observer import Observer

log = structlog.get_logger()
RETRY_SECONDS = 1.0


@define(eq=False, kw_only=True)
class Endings:
    store: Store
    feed: Feed
    idle: IdleClock
    observer: Observer

    async def commit(self, turn: Turn, ending: Ending) -> None:
        """Write down how a turn ended, and tell it. Nothing is told when its session is deleted meanwhile.

        :raises StorageFull:
        :raises StorageUnavailable:
        """
        ended = await self.store.end_turn(turn.session_id, turn.number, ending, self.idle.now())
        if ended is None:
            return
        self.feed.finish(ended)
        self.observer.ended(ended)
        log.info(
            "turn ended",
            session_id=turn.session_id,
            turn=turn.number,
            reason=ending.reason,
            code=ending.code,
            exit=ending.exit,
            bytes=ending.bytes,
            seconds=ended.seconds,
        )

    async def insist(self, turn: Turn, ending: Ending, *, given_up: Callable[[], bool]) -> None:
        """Commit as soon as it can be, unless ``given_up``. A full disk delays it: what is told must last."""
        told = False
        while True:
            try:
                await self.commit(turn, ending)
                return
            except QchatError as error:
                if not told:
                    log.error("ending not committed yet", **turn.names, error=str(error))
                told = True
            if given_up():
                return
            await asyncio.sleep(RETRY_SECONDS)
