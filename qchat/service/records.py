"""The exact record of a turn: read from the agent's own database afterwards, kept beside the transcript."""

import asyncio
import inspect
import json

import structlog
from attrs import define

from qchat.adapters.agents import record as reader
from qchat.adapters.launcher import Launcher
from qchat.adapters.process import Spawner, SpawnError
from qchat.adapters.statedir import StateDir
from qchat.errors import QchatError
from qchat.model.record import MAX_BYTES, Record
from qchat.model.turn import Turn

log = structlog.get_logger()
SECONDS = 10.0


@define(eq=False, kw_only=True)
class Records:
    state: StateDir
    spawner: Spawner
    launcher: Launcher

    async def keep(self, turn: Turn) -> None:
        """Read the record of a turn that has ended, with the agent's rights, and keep it.

        The database is the agent's: what is missing, broken or of another turn is no record, and no error.
        """
        if not self.launcher.has_records:
            return
        try:
            data, said = await self._read(turn.session_id)
            if not data:
                raise ValueError(said.decode(errors="replace").strip())
            await asyncio.to_thread(self._write, turn, data)  # megabytes, which others need not wait for
        except (ValueError, OSError, SpawnError, TimeoutError, QchatError) as error:
            log.info("no record", **turn.names, error=str(error)[:200])

    def _write(self, turn: Turn, data: bytes) -> None:
        record = Record.parse(data)
        if record.is_of(self.launcher.prompt(turn.prompt)):
            self.state.record(turn.session_id, turn.number).write_text(record.to_json())

    async def _read(self, session_id: str) -> tuple[bytes, bytes]:
        with self.launcher.reading(session_id) as launch:
            process = self.spawner.spawn(launch, inspect.getsource(reader).encode())
            try:
                async with asyncio.timeout(SECONDS):
                    return await process.output(MAX_BYTES + 1)
            finally:
                process.tell(b"KILL")
                process.close()

    def of(self, turn: Turn) -> Record | None:
        """The record that was kept; None when there is none."""
        try:
            return Record.of(json.loads(self.state.record(turn.session_id, turn.number).read_text()))
        except (OSError, ValueError):
            return None
