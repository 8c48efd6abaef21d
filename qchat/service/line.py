"""The line of waiting turns: sessions are served in turn, one turn of each at a time."""

from collections import OrderedDict, deque
from collections.abc import Container

from attrs import define, field

from qchat.model.turn import Turn


@define(eq=False)
class Line:
    """First come, first served among sessions; a session that queues many waits behind itself."""

    _sessions: "OrderedDict[str, deque[Turn]]" = field(factory=OrderedDict)
    _told: dict[str, dict[int, int]] = field(factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def append(self, turn: Turn) -> None:
        self._sessions.setdefault(turn.session_id, deque()).append(turn)

    def pop(self, *, without: Container[str]) -> Turn | None:
        """The next turn of a session that is not in ``without``; its session goes to the end of the line."""
        session_id = next((waiting for waiting in self._sessions if waiting not in without), None)
        if session_id is None:
            return None
        turns = self._sessions.pop(session_id)
        turn = turns.popleft()
        if turns:
            self._sessions[session_id] = turns
        return turn

    def remove(self, session_id: str, number: int) -> Turn | None:
        """Take a turn out of the line; None when it does not wait."""
        turns = self._sessions.get(session_id, deque())
        for turn in turns:
            if turn.number == number:
                turns.remove(turn)
                if not turns:
                    del self._sessions[session_id]
                return turn
        return None

    def changed_places(self) -> dict[str, dict[int, int]]:
        """{session: {turn: place}} where places have changed since the last call; place 1 is next."""
        rounds = sorted(
            (nth, index, session_id, turn.number)
            for index, (session_id, turns) in enumerate(self._sessions.items())
            for nth, turn in enumerate(turns)
        )
        places: dict[str, dict[int, int]] = {}
        for place, (_, _, session_id, number) in enumerate(rounds, 1):
            places.setdefault(session_id, {})[number] = place
        told, self._told = self._told, places
        return {
            session_id: places.get(session_id, {})
            for session_id in told.keys() | places.keys()
            if told.get(session_id) != places.get(session_id)
        }
