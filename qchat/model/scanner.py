"""Cuts bytes into text, line ends and styles, wherever the pieces that they came in were cut."""

import copy
import re
from typing import Self

from attrs import Factory, define

from qchat.model import escapes
from qchat.model.event import Event
from qchat.model.run import Run, cut
from qchat.model.sink import Sink

_STOP = re.compile(rb"[\x1b\n]")
_LINE_END = b"\x1b[0m\x1b[0m\n"
_SPECIAL = re.compile(
    rb"\x1b(?!\[0m\x1b\[0m\n(?:[^\x1b\n \t\xe2]|\x1b\[0m\x1b\[0m\n))(?!(?<=\x1b\[0m\x1b)\[0m\n)"
)
"""Whatever is not the end of an ordinary line of an answer that is followed by another."""


@define
class Scanner:
    """Calls the methods that follow with what it finds, and keeps what is incomplete: 4 KiB at most."""

    sink: Sink = Factory(Sink)
    run: Run = Factory(Run)
    consumed: int = 0
    _kept: bytes = b""

    @property
    def bulk(self) -> bool:
        """Whether text may have line ends in it (not at its end), and line ends come together."""
        return True

    @property
    def ordinary(self) -> bool:
        """Whether whole lines of an answer may be taken at once."""
        return False

    def text(self, text: str, end: int) -> None:
        """Text, known at byte ``end``."""
        raise NotImplementedError

    def newline(self, count: int, end: int) -> None:
        """Line ends."""
        raise NotImplementedError

    def style(self, style: str, end: int) -> None:
        """A style, or another sequence that has a meaning."""

    def finish(self, end: int) -> None:
        """The transcript ends."""

    def feed(self, data: bytes) -> list[Event]:
        """What becomes certain with ``data``."""
        base = self.consumed - len(self._kept)
        self.consumed += len(data)
        if self._kept:
            data = self._kept + data
        at = 0
        while at < len(data):
            stop = (self._escape if data[at] == escapes.ESC else self._text)(data, at, base)
            if stop == at:
                break
            at = stop
        self._kept = data[at:]
        self.run.data = b""
        return self.sink.take()

    def close(self) -> list[Event]:
        """What becomes certain because nothing follows."""
        kept, self._kept = self._kept, b""
        if escapes.is_unfinished_string(kept):
            kept = kept[1:]
        if kept and kept[0] != escapes.ESC:
            self.run.data, self.run.start = kept, self.consumed - len(kept)
            self.text(kept.decode(errors="replace"), self.consumed)
        self.finish(self.consumed)
        return self.sink.take()

    def fork(self) -> Self:
        """An independent one in the same state."""
        return copy.deepcopy(self)

    def _escape(self, data: bytes, at: int, base: int) -> int:
        style = escapes.known(data, at)
        if style is not None:
            stop = at + len(style) + 3
            self.style(style, base + stop)
            return stop
        found = escapes.scan(data, at)
        if found.stop < 0:
            return at
        if found.known:
            self.sink.floor = max(self.sink.floor, base + found.known)
        elif found.style != "?":
            self.style(found.style, base + found.stop)
        return found.stop

    def _text(self, data: bytes, at: int, base: int) -> int:
        if self.bulk:
            stop = data.find(b"\x1b", at)
            stop = len(data) - cut(data) if stop < 0 else stop
            body = data[at:stop].rstrip(b"\n")
            if body:
                self._take(body, base + at)
            if at + len(body) < stop:
                self.newline(stop - at - len(body), base + stop)
            return stop
        if data[at] == 0x0A:
            self.newline(1, base + at + 1)
            return at + 1
        if self.ordinary and (stop := self._lines(data, at, base)):
            return stop
        found = _STOP.search(data, at)
        stop = found.start() if found else len(data) - cut(data)
        if stop > at:
            self._take(data[at:stop], base + at)
        return stop

    def _take(self, body: bytes, start: int) -> None:
        self.run.data, self.run.start = body, start
        # A broken character is known to be broken when the next byte has been seen.
        self.text(body.decode("utf-8", "replace"), start + len(body) + (cut(body) > 0))

    def _lines(self, data: bytes, at: int, base: int) -> int:
        """Take several lines; returns where they stop, or 0 when there are not several."""
        if data[at] in b" \t\xe2" or not data.startswith(_LINE_END, data.find(b"\x1b", at)):
            return 0
        found = _SPECIAL.search(data, at)
        stop = found.start() if found else len(data) - cut(data)
        while data.endswith(_LINE_END, at, stop):
            stop -= len(_LINE_END)
        body = data[at:stop]
        text = body.replace(_LINE_END, b"\n")
        if len(body) - len(text) != text.count(b"\n") * (len(_LINE_END) - 1):
            return 0  # there are bare line ends, too
        self.text(text.decode("utf-8", "replace"), base + stop + (cut(body) > 0))
        return stop
