"""Terminal escape sequences: where they end, and which of them are styles.

A sequence is recognised in the bytes of one buffer, and only once its last byte is there. What turns
out not to be a sequence (a byte that none may have, a title that never ends) is text without its ESC,
so that nothing is lost and nothing is waited for without end.
"""

import re

from attrs import frozen

ESC = 0x1B

_CSI_LIMIT = 64
_STRING_LIMIT = 4096
_BODY = re.compile(
    rb"\x1b(?:(\[)[0-?]{0,%d}[ -/]{0,8}|([\]PX^_])[^\x07\x18\x1a\x1b\n]{0,%d}|[ -/]{0,8})"
    % (_CSI_LIMIT, _STRING_LIMIT)
)
_COLOUR = re.compile(r"|3[0-7]|9[0-7]|38;5;[0-9]{1,3}|38;2;[0-9;]{1,11}")

RESET = "0"
BOLD, NOT_BOLD = "1", "22"
ITALIC, NOT_ITALIC = "3", "23"
STRIKE, NOT_STRIKE = "9", "29"
GREEN, MAGENTA, GREY, CYAN = "38;5;10", "38;5;13", "38;5;8", "38;5;12"
CLEAR_LINE = "K"

_COLOURS = (GREEN, MAGENTA, GREY, CYAN)
_OTHERS = (RESET, BOLD, NOT_BOLD, ITALIC, NOT_ITALIC, STRIKE, NOT_STRIKE)
_STYLES = {b"\x1b[%bm" % style.encode(): style for style in (*_COLOURS, *_OTHERS)}
_LONGEST = max(map(len, _STYLES))


@frozen
class Escape:
    """One sequence, or the finding that there is none."""

    stop: int
    """Index behind it; for what is no sequence, behind its ESC; -1 when more bytes are needed to tell."""
    style: str = ""
    """The parameters of a style, ``CLEAR_LINE``, or "?" for a sequence that means nothing here."""
    known: int = 0
    """What is no sequence: index behind the byte that showed it."""


_UNFINISHED = Escape(-1)


def known(data: bytes, at: int) -> str | None:
    """The style that ``data`` has at ``at``, when it is one of those above. Much faster than scan."""
    return _STYLES.get(data[at : data.find(b"m", at, at + _LONGEST) + 1])


def scan(data: bytes, at: int) -> Escape:
    """Read the sequence that begins with the ESC at ``data[at]``."""
    body = _BODY.match(data, at)
    assert body is not None
    stop = body.end()
    if stop == len(data):
        return _UNFINISHED
    last = data[stop]
    if body[1] is not None:
        if not 0x40 <= last <= 0x7E:
            return Escape(at + 1, known=stop + 1)
        return Escape(stop + 1, _style(data[at : stop + 1]))
    if body[2] is not None:
        return _string(data, at, stop)
    return Escape(stop + 1, "?") if 0x30 <= last <= 0x7E else Escape(at + 1, known=stop + 1)


def _string(data: bytes, at: int, stop: int) -> Escape:
    if data[stop] == 0x07:
        return Escape(stop + 1, "?")
    if data[stop] != ESC:
        return Escape(at + 1, known=stop + 1)
    if stop + 1 == len(data):
        return _UNFINISHED
    if data[stop + 1] == 0x5C:
        return Escape(stop + 2, "?")
    return Escape(at + 1, known=stop + 2)


def _style(sequence: bytes) -> str:
    if sequence.endswith(b"m"):
        return sequence[2:-1].decode("ascii")
    return CLEAR_LINE if sequence.endswith(b"K") else "?"


def is_colour(style: str) -> bool:
    """Whether ``style`` sets the colour of what follows (without colours, the empty style does)."""
    return style in _COLOURS or (style not in _OTHERS and _COLOUR.fullmatch(style) is not None)


def is_unfinished_string(data: bytes) -> bool:
    """Whether ``data`` is the beginning of a sequence that holds text (a title, a link)."""
    return data[:1] == b"\x1b" and data[1:2] in (b"]", b"P", b"X", b"^", b"_")
