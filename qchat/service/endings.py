"""How a turn's end is made a fact: written down first, told then."""

import asyncio
import time
from collections.abc import Callable

import structlog
from attrs import define

from qchat.adapters.statedir import StateDir
from qchat.adapters.store import Store
from qchat.adapters.transcript import digest
from qchat.errors import QchatError, StorageFull
from qchat.model.turn import Ending, Reason, Turn
from qchat.service.feed import Feed
from qchat.service.idle import IdleClock
from qchat.service.observer import Observer
from qchat.service.run import CODES

log = structlog.get_logger()
RETRY_SECONDS = 1.0


@define(eq=False, kw_only=True)
class Endings:
    store: Store
    state: StateDir
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

    def of_failure(self, turn: Turn, error: Exception) -> Ending:
        """Of a turn that could not become a process, or was lost sight of."""
        if isinstance(error, QchatError):
            code = "STORAGE_FULL" if isinstance(error, StorageFull) else "QCLI_UNAVAILABLE"
            return Ending(reason="failed", ended=time.time(), code=code, detail=str(error))
        log.error("turn failed", **turn.names, exc_info=error)
        return Ending(reason="failed", ended=time.time(), code="QCLI_PROCESSING_ERROR")

    async def of_lost(self, turn: Turn, reason: Reason) -> Ending:
        """Of a turn that nobody runs any more; its transcript tells how far it came."""
        path = self.state.transcript(turn.session_id, turn.number)
        size, sha256 = await asyncio.to_thread(digest, path)
        return Ending(reason=reason, ended=time.time(), bytes=size, sha256=sha256, code=CODES.get(reason))

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
