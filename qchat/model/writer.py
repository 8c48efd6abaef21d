"""Writes the answer: holds line ends back until something follows, and keeps its parts apart."""

from attrs import define

from qchat.model.sink import Sink


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
    """The last piece that was written."""

    def write(self, text: str, end: int) -> None:
        """Write ``text``, certain since byte ``end``, behind the line ends that were held back."""
        if not text:
            return
        self.last = text
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
