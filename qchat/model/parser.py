"""Bytes of a transcript in, events out.

The law: what has been emitted after consuming a prefix depends on that prefix only. Fed byte by byte,
a parser gives a list of events for each byte, and never two texts in a row for one byte. Fed larger
pieces, it may join neighbouring texts (and neighbouring output of one tool) into one that ends where
the last of them ended; nothing else changes. What :meth:`Parser.close` gives follows the events of
the last byte and is joined with none of them.
"""

from typing import Protocol, Self

from qchat.model.event import Event
from qchat.model.plain import Plain, Raw
from qchat.model.qcli import QCli
from qchat.model.turn import Form, Output


class Parser(Protocol):
    """Reads one transcript. It can be pickled, and forked."""

    consumed: int
    """Bytes fed so far."""

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of the tools that have been announced and have not ended."""

    def feed(self, data: bytes) -> list[Event]:
        """What becomes certain with ``data``."""

    def close(self) -> list[Event]:
        """What becomes certain because nothing follows."""

    def fork(self) -> Self:
        """An independent parser in the same state."""


def make_parser(form: Form, output: Output) -> Parser:
    """A parser for what the Q CLI and its kin write (``q``), or for any program's text (``plain``).

    ``output`` is what the texts hold: markdown, the same without its marks, or every byte.
    """
    if output == "raw":
        return Raw()
    return QCli.create(plain=output == "text") if form == "q" else Plain.create()
