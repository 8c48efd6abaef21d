"""File descriptors: how many there are, and how many connections, requests and turns they suffice for."""

import resource
from typing import Self

from attrs import frozen

WANTED = 65_536
OWN = 20
"""What the service itself holds: database, lock, warden, event loop, log."""
PER_TURN = 10
"""Pipes, keeper, transcript, and what bubblewrap is handed."""
SPARE = 8
"""For a spawn, a listing, a replay: what is held for a moment only."""


@frozen
class Budget:
    """What is refused at the door does not fail half way."""

    connections: int
    requests: int
    """Fewer than connections, so that there is one left to say that there is no room."""
    turns: int

    @classmethod
    def take(cls) -> Self:
        """Raise the soft limit as far as is useful, and share out what there is."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < WANTED:
            soft = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        half = max(SPARE + PER_TURN, ((WANTED if soft == resource.RLIM_INFINITY else soft) - OWN) // 2)
        return cls(connections=half, requests=half - SPARE // 2, turns=(half - SPARE) // PER_TURN)
