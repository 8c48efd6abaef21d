"""Turns: who may run, who waits, and what is written down about it.

A turn belongs to the service, never to the request that asked for it. ``running`` is committed
before the process starts, the ending before any client hears of it. So after a crash a queued turn
has certainly not run, a running one is marked interrupted, and none is ever run again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import structlog
from attrs import define, evolve, field

from qchat.adapters.launcher import Launcher
from qchat.adapters.store import Store
from qchat.adapters.submission import Repeat, Submission
from qchat.errors import Overloaded, QchatError, SessionNotFound, TurnNotFound
from qchat.model.turn import Ending, Reason, Turn
from qchat.service.endings import RETRY_SECONDS, Endings
from qchat.service.executor import Executor
from qchat.service.feed import Feed
from qchat.service.idle import IdleClock
from qchat.service.line import Line
from qchat.service.observer import Observer
from qchat.service.records import Records
from qchat.service.run import Run
from qchat.service.shielded import all_finished, shielded
from qchat.settings import Settings

log = structlog.get_logger()
SYNC_SECONDS = 2.0
"""How often the transcripts of running turns are brought to the disk."""


@define(eq=False, kw_only=True)
class Turns:
    settings: Settings
    store: Store
    feed: Feed
    idle: IdleClock
    endings: Endings
    executor: Executor
    launcher: Launcher
    records: Records
    observer: Observer
    max_turns: int
    """How many may run at once."""
    _runs: dict[str, Run | None] = field(factory=dict)
    """The sessions that hold a place among the running; None while a turn's row is being committed."""
    _line: Line = field(factory=Line)
    _cancelled: set[tuple[str, int]] = field(factory=set)
    """Turns that were cancelled on their way from the line to a process."""
    _tasks: set[asyncio.Task[None]] = field(factory=set)
    _closed_sessions: set[str] = field(factory=set)
    """Sessions that are being deleted."""
    closing: bool = False
    """Whether the service is going down: nothing begins any more."""
    _hurried: bool = False
    """Whether the time of grace is over: what has yet to become a process is stopped, too."""

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def waiting(self) -> int:
        return len(self._line)

    # Submitting

    @shielded
    async def submit(
        self,
        session_id: str,
        prompt: str,
        *,
        request_key: str | None = None,
        caller_key: tuple[str, str] | None = None,
        queue: bool = False,
        repeat: Repeat = "never",
    ) -> tuple[Turn, bool]:
        """Begin a turn, or find the one that this repeats: (turn, whether it is new).

        :raises SessionNotFound:
        :raises SessionBusy: another turn is unfinished, and ``queue`` is false.
        :raises Conflict: the key belongs to another prompt.
        :raises Overloaded: too many turns wait, or the service is going down.
        """
        if self.closing:
            raise Overloaded()
        if session_id in self._closed_sessions:
            raise SessionNotFound()
        # Taken while the row is being committed, so that nobody else counts on the same place.
        holds_place = session_id in self._runs
        free = self._take_place(session_id)
        runs = False
        try:
            turn, new = await self.store.begin_turn(
                Submission(
                    session_id=session_id,
                    prompt=prompt,
                    request_key=request_key,
                    caller_key=caller_key,
                    wait=queue,
                    start=free,
                    room=self.waiting < self.settings.max_queued,
                    next=holds_place,
                    repeat=repeat,
                    form=self.launcher.form,
                    output=self.launcher.output,
                    now=time.time(),
                    idle=self.idle.now(),
                )
            )
            if session_id in self._closed_sessions:  # its deletion follows, and takes the row with it
                raise SessionNotFound()
            runs = new and turn.state == "running"
        finally:
            if free and not runs:
                self._give_place(session_id)
        if new:
            self.observer.submitted(turn)
            log.info("turn accepted", **turn.names, state=turn.state)
            if runs:
                self._own(self._run(turn))
            else:
                self._line.append(turn)
                self._schedule()
            self.feed.appeared(session_id)
        return turn, new

    def _take_place(self, session_id: str) -> bool:
        free = self.running < self.max_turns
        if not free or session_id in self._runs or session_id in self._line:
            return False
        self._runs[session_id] = None
        return True

    def _give_place(self, session_id: str) -> None:
        del self._runs[session_id]
        self.feed.appeared(session_id)
        self._schedule()

    def _schedule(self) -> None:
        """Let those at the head of the line run, as far as there are places."""
        while not self.closing and self.running < self.max_turns:
            turn = self._line.pop(without=self._runs.keys())
            if turn is None:
                break
            self._runs[turn.session_id] = None
            self._own(self._start_queued(turn))
        for session_id, places in self._line.changed_places().items():
            self.feed.set_queued(session_id, places)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Running

    async def _start_queued(self, turn: Turn) -> None:
        now = time.time()
        while not self.closing:
            try:
                started = await self.store.start_turn(turn.session_id, turn.number, now)
            except QchatError as error:  # a full disk: it keeps its place and is tried again
                log.warning("turn not started", **turn.names, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if started:
                await self._run(evolve(turn, state="running", started=now))
                return
            break
        self._give_place(turn.session_id)

    async def _run(self, turn: Turn) -> None:
        try:
            ending = await self._execute(turn)
        except Exception as error:  # noqa: BLE001  # whatever it is, the turn must get its end
            ending = self.endings.of_failure(turn, error)
        try:
            await self._end(turn, ending)
            if ending.reason == "completed":
                await self.records.keep(turn)
        finally:
            self._give_place(turn.session_id)

    async def _execute(self, turn: Turn) -> Ending:
        run = self._runs[turn.session_id] = await self.executor.prepare(turn)
        try:
            if (turn.session_id, turn.number) in self._cancelled:
                run.stop("cancelled")
            if self._hurried:
                run.stop("interrupted")
            return await self.executor.execute(run)
        finally:
            # After the ending is known and told: the exit is not made to wait for the disk.
            self._own(self.executor.put_away(run))

    async def _end(self, turn: Turn, ending: Ending) -> None:
        """Commit the ending and tell it, unless the next start or a deletion will see to the turn."""
        self._cancelled.discard((turn.session_id, turn.number))
        await self.endings.insist(
            turn, ending, given_up=lambda: self.closing or turn.session_id in self._closed_sessions
        )

    # Ending

    @shielded
    async def cancel(self, session_id: str, number: int) -> Turn:
        """End a turn, and return when it has ended. One that has ended already stays as it is.

        :raises TurnNotFound:
        """
        await self._stop(session_id, number)
        return await self.wait(session_id, number)

    async def _stop(self, session_id: str, number: int) -> None:
        run = self._runs.get(session_id)
        if queued := self._line.remove(session_id, number):
            await self._end(queued, Ending(reason="cancelled", ended=time.time()))
            self._schedule()
        elif run is not None and run.turn.number == number:
            run.stop("cancelled")
        elif session_id in self._runs:
            self._cancelled.add((session_id, number))

    async def wait(self, session_id: str, number: int) -> Turn:
        """The turn, once it has ended.

        :raises TurnNotFound: also when its session is deleted meanwhile.
        """
        channel = self.feed.channel(session_id)
        while True:
            turn = self.store.turn(session_id, number)
            if turn is None:
                raise TurnNotFound()
            if turn.finished:
                return turn
            await channel.changed(self.settings.heartbeat)

    @asynccontextmanager
    async def ended(self, session_id: str) -> AsyncIterator[None]:
        """Inside, nothing of a session runs or waits, and nothing begins."""
        self._closed_sessions.add(session_id)
        try:
            for turn in self.store.unfinished_turns(session_id):
                await self._stop(session_id, turn.number)
            # Not for their rows: a full disk may keep them as they are until the deletion makes room.
            while session_id in self._runs:
                await self.feed.channel(session_id).changed(self.settings.heartbeat)
            yield
        finally:
            self._closed_sessions.discard(session_id)
            # What the deletion did not take along after all.
            self._write_off(self.store.unfinished_turns(session_id), "cancelled")

    def _write_off(self, turns: list[Turn], reason: Reason) -> None:
        """End turns of one session that nobody runs any more; nothing of it begins before."""

        async def write_off() -> None:
            for turn in turns:
                await self._end(turn, await self.endings.of_lost(turn, reason))
            self._give_place(turns[0].session_id)

        if turns:
            self._runs[turns[0].session_id] = None
            self._own(write_off())

    # Lifetime

    async def recover(self) -> None:
        """Take over what an earlier service left. Nothing of it is alive: see :meth:`StateDir.lock`."""
        for turn in self.store.unfinished_turns():
            if turn.state == "queued":
                self._line.append(turn)
                continue
            try:
                await self.endings.commit(turn, await self.endings.of_lost(turn, "interrupted"))
            except QchatError:  # a full disk: serve all the same, so that it can be emptied
                self._write_off([turn], "interrupted")
        self._schedule()

    async def sync_transcripts(self) -> None:
        """Bring what running turns have written to the disk, for as long as the service lives."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            await self.executor.sync([run for run in self._runs.values() if run])

    async def close(self) -> None:
        """Give running turns their time of grace, then end them; queued ones wait for the next start."""
        self.closing = True
        await all_finished()
        runs = {task for task in self._tasks if not task.done()}
        if runs:
            await asyncio.wait(runs, timeout=self.settings.shutdown_grace)
        self._hurried = True
        for run in self._runs.values():
            if run is not None:
                run.stop("interrupted")
        while self._tasks:
            await asyncio.wait(self._tasks)

    def hurry(self) -> None:
        """End everything now: the operator has asked twice."""
        self.closing = self._hurried = True
        for run in self._runs.values():
            if run is not None:
                run.stop("interrupted")
                run.hurry()
