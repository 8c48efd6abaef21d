"""From a turn's row to a process, and what is put away afterwards."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import structlog
from attrs import define

from qchat.adapters.beneath import WorkspaceError
from qchat.adapters.files import Files
from qchat.adapters.launcher import Launcher
from qchat.adapters.process import Spawner
from qchat.adapters.quota import Quotas
from qchat.adapters.statedir import StateDir, storage_error
from qchat.adapters.store import Store
from qchat.adapters.transcript import Stderr, Transcript
from qchat.errors import QchatError
from qchat.model.turn import Ending, Turn
from qchat.service.feed import Feed
from qchat.service.observer import Observer
from qchat.service.run import Run
from qchat.settings import Settings

log = structlog.get_logger()


@define(eq=False, kw_only=True)
class Executor:
    settings: Settings
    store: Store
    state: StateDir
    feed: Feed
    spawner: Spawner
    launcher: Launcher
    files: Files
    quotas: Quotas
    observer: Observer

    async def prepare(self, turn: Turn) -> Run:
        """All that a turn needs but its process.

        :raises StorageFull:
        :raises StorageUnavailable: also when there is a transcript already: no turn runs twice.
        """
        await self.launcher.measured.wait()
        self.state.create(turn.session_id)
        path = self.state.transcript(turn.session_id, turn.number)
        try:
            transcript = Transcript.create(path)
        except OSError as error:
            raise storage_error(error) from error
        return Run(
            turn=turn,
            prompt=self.launcher.prompt(turn.prompt).encode(),
            command=self.launcher.is_command(turn.prompt),
            tail=self.feed.begin(turn),
            transcript=transcript,
            stderr=Stderr(path.with_suffix(".err")),
            timeout=self.settings.qcli_timeout,
            max_bytes=self.settings.max_output_bytes,
            observer=self.observer,
            publish=self.feed.channel(turn.session_id).wake,
        )

    async def execute(self, run: Run) -> Ending:
        """Run the agent to its end, or to the end of the session's quota.

        :raises AgentUnavailable:
        :raises StorageUnavailable:
        """
        watching = asyncio.create_task(self._watch_quota(run))
        try:
            resume = self.store.has_run_before(run.turn)
            with self.launcher.launch(run.turn.session_id, resume=resume) as launch:
                return await run.execute(self.spawner, launch)
        finally:
            watching.cancel()

    async def _watch_quota(self, run: Run) -> None:
        with suppress(WorkspaceError, OSError, QchatError):  # the workspace has vanished meanwhile
            await self.quotas.exceeded(partial(self.files.usage, run.turn.session_id))
            run.stop("quota_exceeded")

    async def put_away(self, run: Run) -> None:
        """Bring the transcript to the disk and close it."""
        await self.sync([run])
        await asyncio.to_thread(run.transcript.close)
        if len(run.tail.checkpoints.states) > 1:
            path = self.state.transcript(run.turn.session_id, run.turn.number)
            await asyncio.to_thread(run.tail.checkpoints.save, path)

    async def sync(self, runs: Iterable[Run]) -> None:
        """Bring what was written to the disk."""
        dirty = [run.transcript for run in runs if run.transcript.dirty]
        if dirty:
            await asyncio.to_thread(_sync, dirty)


def _sync(transcripts: list[Transcript]) -> None:
    """For one thread: changing to it costs more than what it does."""
    for transcript in transcripts:
        try:
            transcript.sync()
        except OSError as error:
            log.error("transcript not synced", error=str(error))
