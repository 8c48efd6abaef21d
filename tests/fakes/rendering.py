"""What the Q CLI makes of the model's markdown, as far as it can be seen on its standard output.

It reads the text from left to right, as it comes in packets. At every place it tries its constructs in
a fixed order; one that cannot tell yet makes it wait for the next packet. What none of them takes is
printed as it is. Of control characters nothing is printed, nor of one space at the start of a line.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

RESET = "\x1b[0m"
GREEN, MAGENTA, GREY, CYAN = (f"\x1b[38;5;{colour}m" for colour in (10, 13, 8, 12))
PROMPT = f"{GREEN}> {RESET}"
END_OF_LINE = RESET + RESET + "\n"
ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"'}

Rule = Callable[["Rendering"], bool]


class WaitError(Exception):
    """The next packet is needed to tell."""


class Rendering:
    """One answer."""

    def __init__(self) -> None:
        self.left = ""
        self.out: list[str] = []
        self.column = 0
        self.at_start = True
        self.line_ended = False
        self.in_code = False
        self.on = {"bold": False, "italic": False, "strike": False}
        self.footnotes: list[tuple[str, str]] = []
        self.begun = False

    def packet(self, text: str) -> Iterator[str]:
        """Take a packet; yields what is printed, piece by piece."""
        if not self.begun and text.strip():
            self.begun = True
            self.out.append(PROMPT)
        self.left += text
        while self.left:
            try:
                self._step()
            except WaitError:
                break
            self.at_start, self.line_ended = self.line_ended, False
            yield "".join(self.out)
            self.out.clear()

    def hurry(self) -> str:
        """Print what waits; the real CLI would not, but a test wants to see what it has asked for."""
        text = "".join(self.out) + self.left
        self.out.clear()
        if self.left:
            self.at_start, self.column, self.left = False, self.column + len(self.left), ""
        return text

    def end(self) -> Iterator[str]:
        """The answer ends; what still waits then is never printed."""
        yield from self.packet("\n")
        yield "\n"
        for number, link in self.footnotes:
            yield f"\n{CYAN}[^{number}]: {GREY}{link}\n{RESET}"

    def _step(self) -> None:
        """Print what the first rule that takes the text makes of it; the last one takes anything."""
        for rule in CODE_RULES if self.in_code else RULES:
            if rule(self):
                return

    # Helpers of the rules

    def take(self, count: int, printed: str, *, advance: int = 0) -> bool:
        self.left = self.left[count:]
        self.column += advance
        self.out.append(printed)
        return True

    def run(self, pattern: str, start: int = 0) -> int:
        """Where the longest run of ``pattern`` ends; it must be seen to end."""
        match = re.compile(f"(?:{pattern})*").match(self.left, start)
        assert match
        if match.end() == len(self.left):
            raise WaitError
        return match.end()

    def has(self, *words: str, start: int = 0) -> str:
        """Which of ``words`` is next, or the empty string; a beginning of one makes it wait."""
        rest = self.left[start:]
        for word in words:
            if rest.startswith(word):
                return word
            if word.startswith(rest):
                raise WaitError
        return ""


def text(r: Rendering) -> bool:
    stop = r.run('[A-Za-z0-9+,.!?"]')
    return stop > 0 and r.take(stop, r.left[:stop], advance=stop)


def quote(r: Rendering) -> bool:
    if not r.at_start or r.left[0] != ">":
        return False
    stop = r.run(r">[ \t]*")
    bars = "│ " * r.left[:stop].count(">")
    return r.take(stop, GREY + bars, advance=len(bars))


def fence(r: Rendering) -> bool:
    if not r.at_start or not r.has("```"):
        return False
    match = re.compile(r"```(.*?)(\r?\n)", re.DOTALL).match(r.left)
    if match is None:
        raise WaitError
    r.in_code = True
    language = f"\x1b[1m{match[1]}\n{RESET}" if match[1] else ""
    return r.take(match.end(), language + GREEN)


def thematic_break(r: Rendering) -> bool:
    if not r.at_start:
        return False
    start = r.run("[ \t]")
    if r.left[start] not in "-*_":
        return False
    stop = r.run(re.escape(r.left[start]), start)
    if stop - start < 3:
        return False
    r.column, r.line_ended = 0, True
    return r.take(stop, "━" * 40 + "\n")


def heading(r: Rendering) -> bool:
    if not r.at_start or r.left[0] != "#":
        return False
    level = r.run("#")
    if r.left[level] not in " \t":
        return False
    return r.take(r.run("[ \t]", level), f"{MAGENTA}\x1b[1m{r.left[:level]} ", advance=level + 1)


def bullet(r: Rendering) -> bool:
    if not r.at_start:
        return False
    start = r.run("[ \t]")
    if r.left[start] not in "-*":
        return False
    if start + 1 == len(r.left):
        raise WaitError
    if r.left[start + 1] not in " \t":
        return False
    return r.take(r.run("[ \t]", start + 1), r.left[:start] + "• ", advance=start + 2)


def number(r: Rendering) -> bool:
    if not r.at_start:
        return False
    start = r.run("[ \t]")
    if not re.match("[0-9]", r.left[start]):
        return False
    stop = r.run("[0-9]", start)
    if r.left[stop] != ".":
        return False
    if stop + 1 == len(r.left):
        raise WaitError
    if r.left[stop + 1] not in " \t":
        return False
    shown = r.left[:stop] + ". "
    return r.take(r.run("[ \t]", stop + 1), shown, advance=len(shown))


def code(r: Rendering) -> bool:
    if r.left[0] != "`":
        return False
    stop = r.left.find("`", 1)
    if stop < 0:
        raise WaitError
    shown = r.left[1:stop].replace("&amp;", "&").replace("&gt;", ">").replace("&lt;", "<")
    return r.take(stop + 1, GREEN + shown + RESET, advance=len(shown))


def footnote(r: Rendering) -> bool:
    if not r.has("[["):
        return False
    match = re.compile(r"\[\[([0-9]+)\]\]\(([^)]*)\)").match(r.left)
    if match is None:
        if re.fullmatch(r"\[\[[0-9]*(\](\](\([^)]*)?)?)?", r.left):
            raise WaitError
        return False
    r.footnotes.append((match[1], match[2]))
    return r.take(match.end(), f"{CYAN}[^{match[1]}]{RESET}", advance=len(match[1]) + 1)


def link(r: Rendering) -> bool:
    """Only when all of it is there: of a link in two packets the first bracket is printed as it is."""
    match = re.compile(r"\[(.+?)\]\(([^)]*)\)", re.DOTALL).match(r.left)
    if match is None:
        return False
    width = len(match[1]) + 1 + len(match[2])
    return r.take(match.end(), f"{CYAN}{match[1]} {GREY}{match[2]}{RESET}", advance=width)


def _emphasis(name: str, marks: tuple[str, str], start: str, stop: str) -> Rule:
    def emphasis(r: Rendering) -> bool:
        spaces = 0
        if not r.at_start and not r.on[name]:
            if r.left[0] not in " \t":
                return False
            spaces = r.run("[ \t]")
        mark = r.has(*marks, start=spaces)
        if not mark:
            return False
        style = stop if r.on[name] and not r.at_start else start
        r.on[name] = not r.on[name]
        return r.take(spaces + len(mark), (" " if spaces else "") + style)

    return emphasis


def strike(r: Rendering) -> bool:
    if not r.has("~~"):
        return False
    r.on["strike"] = not r.on["strike"]
    return r.take(2, "\x1b[9m" if r.on["strike"] else "\x1b[29m")


def entity(r: Rendering) -> bool:
    name = r.has(*ENTITIES)
    return bool(name) and r.take(len(name), ENTITIES[name], advance=1)


def line_end(r: Rendering) -> bool:
    end = r.has("\n", "\r\n")
    if not end:
        return False
    r.column, r.line_ended = 0, True
    return r.take(len(end), END_OF_LINE)


def anything(r: Rendering) -> bool:
    character = r.left[0]
    if unicodedata.category(character) == "Cc":
        return r.take(1, "")
    wide = unicodedata.east_asian_width(character) in "WF"
    r.column += 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1 + wide
    return r.take(1, "" if character == " " and r.column == 1 else character)


def fence_end(r: Rendering) -> bool:
    if not r.has("```"):
        return False
    r.in_code = False
    return r.take(3, RESET)


def code_line_end(r: Rendering) -> bool:
    end = r.has("\n", "\r\n")
    return bool(end) and r.take(len(end), "\n")


def code_anything(r: Rendering) -> bool:
    return r.take(1, r.left[0])


RULES: tuple[Rule, ...] = (
    text, quote, fence, thematic_break, heading, bullet, number, code, footnote, link,
    _emphasis("bold", ("**", "__"), "\x1b[1m", "\x1b[22m"),
    _emphasis("italic", ("*", "_"), "\x1b[3m", "\x1b[23m"),
    strike, entity, line_end, anything,
)  # fmt: skip
CODE_RULES: tuple[Rule, ...] = (entity, fence_end, code_line_end, code_anything)


def render(packets: list[str]) -> str:
    """All that is printed for an answer that comes in ``packets``."""
    rendering = Rendering()
    printed = [piece for packet in packets for piece in rendering.packet(packet)]
    return "".join([*printed, *rendering.end()])
