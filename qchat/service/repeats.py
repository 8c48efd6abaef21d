"""Requests that say they are repeats, but not of what: keys made from what they ask for.

The clients of OpenAI's API repeat a request by themselves when no answer has come, and send no request
key; they count their attempts. A first attempt gets a key of its own that begins with the digest of what
was asked. A later one takes over the newest key with that digest, while its turn is unfinished or has just
ended: nobody can know that an answer has not arrived.
"""

import time
from secrets import token_hex

from attrs import frozen

from qchat.adapters.store import Store
from qchat.adapters.submission import REPEAT_SECONDS
from qchat.model.principal import Principal


@frozen(eq=False, kw_only=True)
class Repeats:
    store: Store

    def key(self, principal: Principal, session_id: str | None, digest: str, *, again: bool) -> str:
        """The request key for an attempt; ``again``: it is not the first one."""
        prefix = f"auto-{digest}-"
        if again:
            found = self.store.latest_turn(principal.name, session_id, prefix)
            if found and (found.ending is None or time.time() - found.ending.ended < REPEAT_SECONDS):
                return found.request_key or ""
        # In the order of time, and different for two at once.
        return f"{prefix}{time.time_ns():016x}-{token_hex(4)}"
