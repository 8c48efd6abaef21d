"""Sessions: made, found, taken over from disk, and removed with everything that is theirs."""

import asyncio
import time
from contextlib import suppress
from uuid import uuid4

import structlog
from attrs import define, field

from qchat.adapters.statedir import StateDir, storage_error
from qchat.adapters.store import Store
from qchat.errors import Overloaded, QchatError, SessionNotFound, StorageFull, TooManyRequests
from qchat.model.buckets import Buckets
from qchat.model.principal import Principal
from qchat.model.session import Session, is_session_id
from qchat.service.feed import Feed
from qchat.service.idle import IdleClock
from qchat.service.shielded import shielded
from qchat.service.turns import Turns

log = structlog.get_logger()
DELETE_ATTEMPTS = 50
DELETE_PAUSE = 0.1


@define(eq=False, kw_only=True)
class Sessions:
    store: Store
    state: StateDir
    feed: Feed
    turns: Turns
    idle: IdleClock
    max_sessions: int
    expiry: float
    new: Buckets | None = None
    """How often each principal may create one; None for no limit."""
    being_made: set[str] = field(factory=set)
    """Sessions whose directory is there and whose row is not committed yet."""
    trash_filled: asyncio.Event = field(factory=asyncio.Event)
    """Set when there is something in the trash."""

    def get(self, session_id: str, principal: Principal) -> Session:
        """The session, for whoever asks; here, and nowhere else, it is decided whose sessions exist.

        :raises SessionNotFound: also for an id that is none, for a session that has expired, and for one
            of somebody else: nobody learns what others have.
        """
        if not is_session_id(session_id):
            raise SessionNotFound()
        session = self.store.session(session_id)
        if not principal.sees(session.owner):
            raise SessionNotFound()
        return session

    def visible(
        self, principal: Principal, limit: int, before: tuple[float, str] | None = None
    ) -> list[Session]:
        """What exists for whoever asks, newest first, older than the place ``before``."""
        owner = None if principal.role == "admin" else principal.name
        return self.store.sessions(limit, before, owner=owner)

    def _count(self, principal: Principal) -> None:
        if self.new is None:
            return
        now = time.monotonic()
        if wait := self.new.wait(principal.name, now):
            raise TooManyRequests(wait, f"{self.new.size:.0f} new sessions a minute are allowed")
        self.new.take(principal.name, now)

    @shielded
    async def create(self, principal: Principal) -> Session:
        """:raises Overloaded: when there are too many.
        :raises TooManyRequests: when the principal has created too many just now.
        :raises StorageFull:
        :raises StorageUnavailable:
        """
        if self.store.count_sessions() >= self.max_sessions:
            raise Overloaded(limit=self.max_sessions)
        self._count(principal)
        now = time.time()
        session = Session(
            id=str(uuid4()),
            created=now,
            last_activity=now,
            message_count=0,
            idle=self.idle.now(),
            owner=principal.name,
        )
        self.being_made.add(session.id)
        try:
            # The directory first: one without a row is taken over at the next start.
            self.state.create(session.id)
            await self.store.add_sessions([session])
        except QchatError as error:
            log.error("创建新会话失败", session_id=session.id, error=str(error))
            self.state.discard(session.id)
            raise
        finally:
            self.being_made.discard(session.id)
        log.info("创建新会话", session_id=session.id)
        return session

    @shielded
    async def change(self, session_id: str, **changes: object) -> Session:
        """Set ``title``, ``pinned`` or ``expires_in``.

        :raises SessionNotFound:
        """
        if not await self.store.change_session(session_id, changes):
            raise SessionNotFound()
        return self.store.session(session_id)

    async def touch(self, session_id: str) -> None:
        """Note activity."""
        await self.store.touch(session_id, time.time(), self.idle.now())

    def expires_at(self, session: Session) -> float | None:
        """When it will expire if nothing happens, in seconds since the epoch; None for a pinned one."""
        if session.pinned:
            return None
        idle = session.idle - self.idle.now()
        return time.time() + (session.expires_in or self.expiry) - idle

    @shielded
    async def delete(self, session_id: str) -> None:
        """End what runs, then remove directory and rows; the directory is gone when this returns.

        :raises SessionNotFound:
        """
        self.store.session(session_id)
        try:
            async with self.turns.ended(session_id):
                # The files before the row: they make room on a full disk.
                self.state.discard(session_id)
                self.trash_filled.set()
                removed = await self._remove_row(session_id)
        except (OSError, QchatError) as error:
            log.error("删除会话失败", session_id=session_id, error=str(error))
            raise storage_error(error) if isinstance(error, OSError) else error from error
        self.feed.delete(session_id)
        if not removed:  # somebody else was faster
            raise SessionNotFound()
        log.info("删除会话", session_id=session_id)

    async def _remove_row(self, session_id: str) -> bool:
        for _ in range(DELETE_ATTEMPTS):
            try:
                return await self.store.remove_session(session_id)
            except StorageFull:
                await asyncio.sleep(DELETE_PAUSE)  # while the trash is being emptied
        return await self.store.remove_session(session_id)

    async def adopt(self) -> None:
        """Take over directories that no row knows: those of an older version, or of a lost database."""
        known = {session.id for session in self.store.all_sessions()}
        found = await asyncio.to_thread(
            lambda: [(e.name, e.stat().st_mtime) for e in self.state.on_disk() if e.name not in known]
        )
        sessions = [
            Session(id=name, created=mtime, last_activity=mtime, message_count=0, idle=0)
            for name, mtime in found
        ]
        for session in sessions:
            # Transcripts of turns that no row knows would be in the way of those to come.
            with suppress(FileNotFoundError):
                self.state.set_aside(self.state.private / session.id, session.id)
            self.state.create(session.id)
        if sessions:
            await self.store.add_sessions(sessions)
            log.info("sessions taken over", count=len(sessions))
