"""How long jobs say how far they are."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""


def unseen(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""
