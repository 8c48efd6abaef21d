"""A run of text between two escape sequences, and where in the transcript its characters are."""

from bisect import bisect_left
from codecs import utf_8_decode

from attrs import define


@define
class Run:
    """The bytes that are being read, for those who must know at which of them they decided."""

    data: bytes = b""
    start: int = 0
    """Where in the transcript ``data`` begins."""

    def where(self, count: int) -> int:
        """The byte of the transcript at which the first ``count`` characters of the run were known."""
        data = self.data[: 4 * count + 4]
        if data.isascii():
            return self.start + min(count, len(data))
        return self.start + bisect_left(range(len(data) + 1), count, key=lambda n: _characters(data[:n]))

    def skip(self, count: int) -> None:
        """Leave the first ``count`` characters behind."""
        start = self.where(count)
        self.data, self.start = self.data[start - self.start :], start


def _characters(data: bytes) -> int:
    return len(utf_8_decode(data, "replace", False)[0])


def cut(data: bytes) -> int:
    """How many bytes at the end of ``data`` are the beginning of a character that goes on."""
    if not data or data[-1] < 0x80:
        return 0
    tail = data[-3:]
    return len(tail) - utf_8_decode(tail, "replace", False)[1]
