"""The janitor: expires sessions that nobody uses, and empties the trash."""

import asyncio
import os
import threading
from collections.abc import Callable

import structlog
from attrs import define, field

from qchat.adapters.removal import remove_tree
from qchat.adapters.statedir import StateDir
from qchat.adapters.store import Store
from qchat.errors import QchatError
from qchat.model.session import Session
from qchat.service.feed import Feed
from qchat.service.idle import IdleClock
from qchat.service.sessions import Sessions
from qchat.service.thread import in_thread

log = structlog.get_logger()
MAX_WATCHED_SECONDS = 24 * 3600.0
"""How long an open stream alone keeps a session alive."""


@define(eq=False, kw_only=True)
class Janitor:
    """``expiry`` in seconds of idle time; ``cleanup``: whether an expired session's directory goes, too."""

    store: Store
    state: StateDir
    feed: Feed
    sessions: Sessions
    idle: IdleClock
    expiry: float
    cleanup: bool
    swept: Callable[[int], None] = lambda _: None
    """Told how many sessions a sweep has expired."""
    _stopping: threading.Event = field(factory=threading.Event)

    @property
    def interval(self) -> float:
        """Seconds between two sweeps."""
        return min(60.0, self.expiry / 10)

    async def run(self) -> None:
        """Sweep at intervals, for as long as the service lives; a sweep that failed is tried again."""
        while True:
            await asyncio.sleep(self.interval)
            try:
                await self.sweep()
            except (QchatError, OSError) as error:
                log.error("清理失败", error=str(error))
            except Exception:
                log.exception("清理失败")

    async def sweep(self) -> list[str]:
        """Count idle time and expire what has been idle for too long: the ids of those."""
        await self.store.count_idle(self.idle.sweep())
        watched = self.feed.watched()
        expired = []
        for session in self.store.idle_sessions(self.expiry):
            if session.id in watched and session.idle < MAX_WATCHED_SECONDS:
                continue
            if await self._expire(session):
                expired.append(session.id)
        self.state.take_ballast()
        self.swept(len(expired))
        return expired

    async def _expire(self, session: Session) -> bool:
        if not await self.store.expire(session.id, self.expiry, forget=self.cleanup):
            return False  # it has come to life since
        self.feed.delete(session.id)
        try:
            if self.cleanup:
                await in_thread(self.state.discard, session.id)
                self.sessions.trash_filled.set()
        except OSError as error:
            log.error("清理过期会话失败", session_id=session.id, error=error.strerror)
        log.info("清理过期会话", session_id=session.id, directory_removed=self.cleanup)
        return True

    async def empty_trash(self) -> None:
        """Remove what was thrown away, in a thread, for as long as the service lives."""
        while True:
            await asyncio.to_thread(self._empty_trash)
            await self.sessions.trash_filled.wait()
            self.sessions.trash_filled.clear()

    def _empty_trash(self) -> None:
        fd = os.open(self.state.trash, os.O_PATH | os.O_DIRECTORY)
        try:
            for name in os.listdir(self.state.trash):
                removal = remove_tree(fd, name, self._stopping.is_set)
                if self._stopping.is_set():
                    return
                if not removal.done:
                    log.error("清理失败", path=str(self.state.trash / name), error=removal.why)
        finally:
            os.close(fd)

    def stop(self) -> None:
        """Interrupt the removal that is under way; the next start goes on with it."""
        self._stopping.set()
