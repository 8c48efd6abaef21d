"""The operator's cleanups in a running service: everything is looked at again before it goes."""

import asyncio
import time
from collections.abc import Sequence

import structlog
from attrs import define

from qchat.adapters.beneath import NotFound, WorkspaceError
from qchat.adapters.statedir import StateDir
from qchat.adapters.store import Store
from qchat.adapters.survey import surveys
from qchat.errors import QchatError
from qchat.model.cleanup import DONE, FAILED, Cleaned, Rule, Survey
from qchat.service.sessions import Sessions

log = structlog.get_logger()


@define(eq=False, kw_only=True)
class Cleanup:
    store: Store
    state: StateDir
    sessions: Sessions

    async def clean(self, rule: Rule, session_ids: Sequence[str]) -> Cleaned:
        """Remove those of the sessions' directories that the rule still lets go; each is logged."""
        seen = await asyncio.to_thread(lambda: dict(surveys(self.state.base, session_ids)))
        removed, kept, failed = [], [], []
        for session_id, found in seen.items():
            try:
                why = await self._remove(rule, session_id, found)
            except (WorkspaceError, OSError, QchatError) as error:
                log.error(FAILED[rule.kind], session_id=session_id, error=str(error))
                failed.append((session_id, str(error)))
                continue
            if why:
                kept.append((session_id, why))
                continue
            log.info(DONE[rule.kind], session_id=session_id)
            removed.append(session_id)
        return Cleaned(tuple(removed), tuple(kept), tuple(failed))

    async def _remove(self, rule: Rule, session_id: str, found: Survey | WorkspaceError | OSError) -> str:
        """Why it stays; empty when it is gone."""
        if isinstance(found, NotFound):
            return "it is gone already"
        if not isinstance(found, Survey):
            raise found
        if session_id in self.sessions.being_made:
            return "the session is being made"
        row = self.store.find_session(session_id)
        if why := rule.reason_to_keep(row, found, time.time()):
            return why
        # Nothing else runs between the look at the row and this; and what has expired stays expired.
        self.state.discard(session_id)
        self.sessions.trash_filled.set()
        if row is not None:
            await self.store.remove_session(session_id)
        return ""
