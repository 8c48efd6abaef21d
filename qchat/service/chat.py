"""A prompt that may come without a session."""

from attrs import define

from qchat.adapters.store import Store
from qchat.adapters.submission import Repeat
from qchat.model.principal import Principal
from qchat.model.turn import Turn
from qchat.service.sessions import Sessions
from qchat.service.shielded import shielded
from qchat.service.turns import Turns


@define(eq=False, kw_only=True)
class Chat:
    store: Store
    sessions: Sessions
    turns: Turns

    @shielded
    async def submit(
        self,
        principal: Principal,
        session_id: str | None,
        prompt: str,
        *,
        request_key: str | None = None,
        queue: bool = False,
        repeat: Repeat = "never",
    ) -> tuple[Turn, bool]:
        """Like :meth:`Turns.submit`; without a session one is created, and the key names it as well."""
        if session_id:
            self.sessions.get(session_id, principal)
            return await self.turns.submit(
                session_id, prompt, request_key=request_key, queue=queue, repeat=repeat
            )
        caller_key = (principal.name, request_key) if request_key else None
        named = self.store.caller_turn(caller_key) if caller_key else None
        created = None if named else (await self.sessions.create(principal)).id
        turn = None
        try:
            turn, new = await self.turns.submit(
                created or (named[0] if named else ""),
                prompt,
                request_key=request_key,
                caller_key=caller_key,
                queue=queue,
                repeat=repeat,
            )
        finally:
            # Refused, or the same key has named another session at the same moment.
            if created and (turn is None or turn.session_id != created):
                await self.sessions.delete(created)
        return turn, new
