"""Writes the answer: holds line ends back until something follows, and keeps its parts apart."""

import re

from attrs import define

from qchat.model.sink import Sink

_HEAD = 16
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_ITEM = re.compile(r" *(?:(?:[-*+]|[0-9]{1,9}[.)]) +)?")


@define
class Writer:
    """The answer so far, as far as it matters for what may follow."""

    out: Sink
    plain: bool = False
    """Leave the marks out."""
    newlines: int = 0
    """Line ends that are written when text follows them, and dropped when none does."""
    begun: bool = False
    """Whether the answer has any text."""
    parted: bool = False
    """Whether what follows is a paragraph of its own, because a tool or a new attempt came between."""
    last: str = ""
    """The last character that was written."""
    head: str = ""
    """The beginning of the last line that has text."""
    _fence: str = ""

    def write(self, text: str, end: int) -> None:
        """Write ``text``, certain since byte ``end``, behind the line ends that were held back."""
        if not text:
            return
        self.last = text[-1]
        if self.newlines or self.parted:
            self._end_line()
        if len(self.head) < _HEAD or "\n" in text:
            self._follow(text)
        if self.parted:
            text = "\n\n" + text.lstrip("\n")
            self.parted = False
            self.newlines = 0
        elif self.newlines:
            text = "\n" * self.newlines + text
            self.newlines = 0
        self.begun = True
        self.out.text(text, end)

    def mark(self, mark: str, end: int) -> None:
        """Write a mark of the markdown language, which is no text of its own."""
        if not self.plain:
            self.write(mark, end)

    def part(self) -> None:
        """Begin a new part of the answer: a blank line will separate it from what there is."""
        self.parted = self.begun
        self.newlines = 0
        self.head = self._fence = ""

    @property
    def fence(self) -> str:
        """The fence of the code block that a reader of the answer is in, with its indentation."""
        return self._fence_behind() if self.newlines else self._fence

    @property
    def column(self) -> int:
        """Where a paragraph begins that continues the list item, or the paragraph, of the last line."""
        if fence := self.fence:
            return len(fence) - len(fence.strip())
        item = _ITEM.match(self.head)
        return len(item[0]) if item else 0

    def _follow(self, text: str) -> None:
        """Keep track of the lines of what is written."""
        # A single character is found many times as fast as three.
        if ("`" in text and "```" in text) or ("~" in text and "~~~" in text):
            for line in text.split("\n")[:-1]:
                self.head = (self.head + line)[:_HEAD]
                self._end_line()
        elif "\n" in text:
            self.head = (self.head + text[:_HEAD]).partition("\n")[0][:_HEAD]
            self._end_line()
        start = text.rfind("\n") + 1
        self.head = (self.head + text[start : start + _HEAD])[:_HEAD]

    def _end_line(self) -> None:
        self._fence = self._fence_behind()
        self.head = ""

    def _fence_behind(self) -> str:
        """The fence that is open behind the last line."""
        found = _FENCE.match(self.head)
        if found and not self._fence:
            return found[0]
        if found and found[1].startswith(self._fence.strip()) and self.head.strip() == found[1]:
            return ""
        return self._fence
