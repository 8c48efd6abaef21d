"""What the Q CLI writes around answers and tools, so that whoever reads Q can read this."""

import os
import re

from attrs import define

RESET = "\x1b[0m"
GREEN = "\x1b[38;5;10m"
HEADING = "\x1b[38;5;13m"
END_OF_LINE = f"{RESET}{RESET}\n"
DOTS = " ⋮ \n"
_MEANT = re.compile(r"(?:^|(?<=\n))(?=[ \t•━])")
"""Where a line begins as Q's rendering of lists and rules does, but is meant as it stands."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@define
class Screen:
    """Standard output; everything is written at once."""

    _in_text: bool = False
    _line_ends: int = 0
    """Held back until text follows: an answer has no empty lines at its end."""

    def text(self, piece: str) -> None:
        """Write a piece of the answer, its markdown as it is. Control characters have no place in it."""
        piece = _CONTROL.sub("", piece)
        if not self._in_text:
            piece = piece.lstrip("\n")
            if not piece:
                return
            self._in_text = True
            write(f"{GREEN}> {RESET}")
        body = piece.rstrip("\n")
        if body:
            lines = _MEANT.sub("\x1b[39m", self._line_ends * "\n" + body)
            write(lines.replace("\n", END_OF_LINE))
            self._line_ends = 0
        self._line_ends += len(piece) - len(body)

    def end_text(self) -> None:
        """End the paragraph that pieces of text have made."""
        if self._in_text:
            write(f"{END_OF_LINE}\n")
        self._in_text, self._line_ends = False, 0

    def begin_tool(self, name: str, about: str, *, trusted: bool) -> None:
        """Write a tool's card: what is about to run."""
        mark = "\x1b[38;5;2m (trusted)\x1b[39m" if trusted else f"{RESET}{RESET}"
        write(f"{END_OF_LINE}{END_OF_LINE}\n{HEADING}🛠️  Using tool: {name}{mark}{RESET}\n{DOTS} ● {about}")

    def end_tool(self, seconds: float) -> None:
        """Write that the tool has ended."""
        milliseconds = int(seconds * 1000)
        # As Q writes it: the milliseconds stand behind the point without zeros in front.
        taken = f"{milliseconds // 1000}.{milliseconds % 1000}"
        write(f"{DOTS}{GREEN}\x1b[1m ● Completed in {taken}s{RESET}\n\n")


def write(data: str | bytes) -> None:
    """Write to standard output, now. What stands for bytes that are no UTF-8 becomes these bytes."""
    left = memoryview(data if isinstance(data, bytes) else data.encode(errors="surrogateescape"))
    while left:
        left = left[os.write(1, left) :]


def printable(text: str) -> str:
    """``text`` with a sign in place of every control character that a terminal would act on."""
    return _CONTROL.sub("\ufffd", text)
