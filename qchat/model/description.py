"""What a tool card says between its name and the start of its tool.

Nothing marks the end of a description but its own shape, and every tool has one of its own: a command
ends with an empty line, a diff with an erased line, most others with their first line. What is not
recognised is taken for one line. Whatever follows is output of the tool, so nothing is lost.
"""

import re

from attrs import Factory, define

from qchat.model import escapes

LIMIT = 64 * 1024
"""Characters that a description may have; what is beyond goes with the output."""

_DOTS = " ⋮ "
_BULLET = " ● "
_ARROW = " ↳ "
_PARAMETERS = " with the param:"
_COLOUR, _RESET, _CLEAR = "\ufdd0", "\ufdd1", "\ufdd2"
"""Styles within the text, as characters that no text has."""
_MARKS = re.compile(f"[{_COLOUR}{_RESET}{_CLEAR}]")

_SHAPES = {
    "command": "I will run the following shell command: ",
    "diff": "Path: ",
    "aws": "Running aws cli command:",
    "call": f"Running {_COLOUR}",
    "batch": "Batch ",
}
_NAME = re.compile(r"(.*?)( \(trusted\))?(?: from mcp server (.*))?", re.DOTALL)
_OPERATIONS = re.compile(r"Batch .* with .?([0-9]+).? operations:")
_PATH = re.compile(f"(?:Reading|Searching)[ a-z]*: {_COLOUR}([^\n{_RESET}]*){_RESET}")
_WHOLE = re.compile(
    rf"{_BULLET}Reading [a-z]+: {_COLOUR}[^{_RESET}]*{_RESET}"
    rf"(?:, all lines|, from line {_COLOUR}?[0-9]+{_RESET}? to (?:end of file|{_COLOUR}?[0-9]+{_RESET}?)"
    r"| with maximum depth of [0-9]+)"
    rf"|{_BULLET}Searching: {_COLOUR}[^{_RESET}]*{_RESET} for pattern: {_COLOUR}[^{_RESET}]*{_RESET}"
    r"|Region: [a-z]{2,3}(?:-[a-z]+)+-[0-9]"
)
"""Lines that do not end with a line end: what another tool of the batch writes stands right behind them."""
_PURPOSE = f"(?: ⋮ \n ↳ {_COLOUR}?Purpose: {_RESET}?(?P<purpose>.*?))?\n*"
_ABOUT = {
    "command": re.compile(
        f"{_SHAPES['command']}\n?{_COLOUR}?(?P<command>.*?)\n?{_RESET}{_PURPOSE}", re.DOTALL
    ),
    "diff": re.compile(
        f"{_SHAPES['diff']}(?P<path>[^\n]*)\n+(?P<diff>.*?)\n*{_CLEAR}\n?{_PURPOSE}", re.DOTALL
    ),
    "call": re.compile(
        f"(?P<description>[^\n]*?)(?:{_PARAMETERS}\n(?P<parameters>.*?))?\n*{_RESET}?", re.DOTALL
    ),
}


@define
class Description:
    """Reads one description, from the name of the tool on."""

    dots: bool = False
    """Whether its last line went on with the first line of the tool's end."""
    rest: str = ""
    """Its last line, when that turned out to be output already."""
    _lines: list[str] = Factory(list)
    _line: list[str] = Factory(list)
    _size: int = 0
    _shape: str = ""
    _reset: bool = False
    """Whether the colour of the command has ended."""

    @property
    def silent(self) -> bool:
        """Whether tools of this kind write nothing themselves."""
        return self._shape in ("aws", "call")

    @property
    def room(self) -> int:
        """How many characters it still takes."""
        return LIMIT - self._size

    def text(self, text: str) -> None:
        """Take text without line ends."""
        self._line.append(text)
        self._size += len(text)

    def newline(self) -> bool:
        """Take a line end; true when the description is complete."""
        line = "".join(self._line)
        self._line = []
        self._size += 1
        if self._precedes(line):
            self.rest = _MARKS.sub("", line) + "\n"
            return True
        if len(self._lines) == 2:
            self._shape = _shape(line.removeprefix(_BULLET))
        whole = _WHOLE.match(line) if self._shape in ("line", "aws") else None
        if whole and whole.end() < len(line):
            tail = _MARKS.sub("", line[whole.end() :])
            self.dots = tail == _DOTS
            self.rest = "" if self.dots else tail + "\n"
            self._lines.append(whole[0])
            return True
        self.dots = self._begins_end(line)
        self._lines.append(line.removesuffix(_DOTS) if self.dots else line)
        return self.dots or self._is_last(line) or self.room <= 0

    def style(self, style: str) -> bool:
        """Take a style; true when the description is complete."""
        if style == escapes.RESET:
            ended = self._shape == "call" and not self._line and len(self._lines) > 3
            self._line.append(_RESET)
            self._reset = len(self._lines) >= 2
            return ended
        if style == escapes.CLEAR_LINE:
            self._line.append(_CLEAR)
        elif escapes.is_colour(style):
            self._line.append(_COLOUR)
        return False

    def finish(self) -> tuple[str, bool, dict[str, str]]:
        """What it has said: the tool's name, whether it is trusted, and what it is about."""
        lines = [*self._lines, "".join(self._line)] if self._line else self._lines
        name, trusted, server = _match(_NAME, _MARKS.sub("", lines[0]) if lines else "").groups()
        text = "\n".join(lines[2:]).removeprefix(_BULLET)
        about = _about(self._shape or _shape(text), text)
        if server:
            about["server"] = server
        return name, bool(trusted), about

    def _precedes(self, line: str) -> bool:
        """Whether the description was complete before this line."""
        if len(self._lines) == 1:
            return line != _DOTS
        if self._shape == "aws" and self._lines[-1].startswith("Region: "):
            return not line.startswith("Label: ") and not line.endswith(_DOTS)
        return self._shape == "diff" and self._lines[-1].endswith(_CLEAR) and line != _DOTS

    def _begins_end(self, line: str) -> bool:
        """Whether the line ends with the first line of the tool's end."""
        if len(self._lines) < 2 or self._shape in ("command", "diff") or not line.endswith(_DOTS):
            return False
        return self._shape != "batch" or line != _DOTS

    def _is_last(self, line: str) -> bool:
        """Whether the line completes the description."""
        if len(self._lines) < 3:
            return False
        if self._shape == "command":
            return self._reset and (not line or (line.startswith(_RESET) and line != _RESET + _DOTS))
        if self._shape == "diff":
            return line.startswith(_ARROW) and self._lines[-2] == _DOTS
        if self._shape == "call":
            return len(self._lines) == 3 and not line.endswith(_PARAMETERS)
        if self._shape == "batch":
            total = _OPERATIONS.match(self._lines[2].removeprefix(_BULLET))
            return total is None or line.startswith(f"↱ Operation {total[1]}: ")
        return self._shape != "aws" or line.startswith("Label: ")


def _shape(text: str) -> str:
    return next((shape for shape, start in _SHAPES.items() if text.startswith(start)), "line")


def _about(shape: str, text: str) -> dict[str, str]:
    pattern = _ABOUT.get(shape)
    if pattern and (match := pattern.fullmatch(text)):
        return {key: _MARKS.sub("", value) for key, value in match.groupdict().items() if value}
    plain = _MARKS.sub("", text).strip("\n")
    about = {"description": plain} if plain else {}
    if path := _PATH.match(text):
        about["path"] = path[1]
    return about


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    assert match is not None
    return match
