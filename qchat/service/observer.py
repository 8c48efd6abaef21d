"""Who is told what happens to turns: the metrics, and traces when they are on."""

from typing import Protocol

from attrs import frozen

from qchat.model.turn import Turn


class Observer(Protocol):
    """Each is called once for a turn, in this order; a turn that never runs has no middle."""

    def submitted(self, turn: Turn) -> None: ...

    def spawned(self, turn: Turn, seconds: float) -> None:
        """The agent runs; it took ``seconds`` to start it."""

    def first_byte(self, turn: Turn) -> None: ...

    def ended(self, turn: Turn) -> None:
        """The ending is committed, and part of ``turn``."""


@frozen
class Observers(Observer):
    """All of them."""

    members: tuple[Observer, ...] = ()

    def submitted(self, turn: Turn) -> None:
        for member in self.members:
            member.submitted(turn)

    def spawned(self, turn: Turn, seconds: float) -> None:
        for member in self.members:
            member.spawned(turn, seconds)

    def first_byte(self, turn: Turn) -> None:
        for member in self.members:
            member.first_byte(turn)

    def ended(self, turn: Turn) -> None:
        for member in self.members:
            member.ended(turn)
