"""Parsers that restore nothing: any program's text without its escapes, and the bytes as they are."""

import copy
import re
from codecs import utf_8_decode
from typing import Self

from attrs import Factory, define

from qchat.model.event import Event
from qchat.model.run import cut
from qchat.model.scanner import Scanner
from qchat.model.sink import Sink
from qchat.model.writer import Writer

_LONE = re.compile(r"\r(?!\n|\Z)")
"""A carriage return that is no part of a line's end."""


@define
class Plain(Scanner):
    """Text without escape sequences; the line ends at its end are dropped."""

    _writer: Writer = Factory(lambda self: Writer(self.sink), takes_self=True)
    _carriage: bool = False
    """Whether the text ended with a carriage return, which may belong to a line's end."""

    @classmethod
    def create(cls) -> Self:
        return cls()

    @property
    def pending(self) -> tuple[str, ...]:
        """Such text has no tools."""
        return ()

    def _text(self, data: bytes, at: int, base: int) -> int:
        stop = data.find(b"\x1b", at)
        stop = len(data) - cut(data) if stop < 0 else stop
        if stop > at:
            self._take(data[at:stop], base + at)
        return stop

    def text(self, text: str, end: int) -> None:
        """Text, known at byte ``end``, with all its line ends."""
        if text[-1] != "\n" and "\r" not in text and not self._carriage:  # most of it by far
            self._writer.write(text, end)
            return
        if self._carriage:
            text = "\r" + text
        tail = text[len(text.rstrip("\r\n")) :]
        lone = max((match.end() for match in _LONE.finditer(tail)), default=0) if "\r" in tail else 0
        rest = tail[lone:]
        if lone:
            end += 1 - len(rest)  # known to be lone when the next byte was seen
        elif rest:
            end += (cut(self.run.data.rstrip(b"\r\n")) > 0) - len(rest)
        if len(rest) < len(text):
            body = text[: len(text) - len(rest)] if rest else text
            # A single character is found many times as fast as two.
            self._writer.write(body.replace("\r\n", "\n") if "\r" in body else body, end)
        self._carriage = rest.endswith("\r")
        self._writer.newlines += rest.count("\n")


@define
class Raw:
    """Every byte, decoded."""

    consumed: int = 0
    _kept: bytes = b""
    _sink: Sink = Factory(Sink)

    @property
    def pending(self) -> tuple[str, ...]:
        """Such text has no tools."""
        return ()

    def feed(self, data: bytes) -> list[Event]:
        """What becomes certain with ``data``."""
        self.consumed += len(data)
        data = self._kept + data
        text, used = utf_8_decode(data, "replace", False)
        self._kept = data[used:]
        if text:
            broken = cut(data[:used]) > 0  # which is known when the next byte has been seen
            self._sink.text(text, self.consumed - len(self._kept) + broken)
        return self._sink.take()

    def close(self) -> list[Event]:
        """What becomes certain because nothing follows."""
        kept, self._kept = self._kept, b""
        if kept:
            self._sink.text(kept.decode(errors="replace"), self.consumed)
        return self._sink.take()

    def fork(self) -> Self:
        """An independent one in the same state."""
        return copy.deepcopy(self)
