"""A message on its way to the agent: what is refused, and what would be taken for a command.

The Q CLI trims a message, removes characters that cannot be seen, and then looks at its first one:
``!`` runs the rest in a shell, ``/`` is a command of the CLI (of a path it drops the slash), ``@``
names a stored prompt, and may wait for ever when there is none. A backslash before such a sign keeps
the message a message. In markdown it makes no difference: ``\\@alice`` reads ``@alice``.
"""

import re
import unicodedata

COMMANDS = frozenset("!/")
SIGNS = COMMANDS | {"@"}
ESCAPE = "\\"
CHINESE = "请用中文回答："
"""What a message begins with when the answer has to be Chinese."""

_REMOVED = re.compile(
    r"[\s\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufff0-\ufffc\ufffe\uffff\U000e0000-\U000e007f]"
)
_REFUSED = re.compile("[\0\ud800-\udfff]")


def check_prompt(message: str) -> None:
    """Refuse what no agent can be sent.

    :raises ValueError: saying what is wrong with the message, and what is allowed.
    """
    if found := _REFUSED.search(message):
        raise ValueError(
            f"character {found.start() + 1} is U+{ord(found[0]):04X};"
            " allowed is everything but U+0000 and halves of surrogate pairs"
        )
    if not _first_seen(message):
        raise ValueError("nothing in it can be seen; it needs at least one visible character")


def guard(message: str, commands_allowed: bool) -> str:
    """The message so that it is taken for a message, whatever it begins with.

    :param commands_allowed: leave it as it is.
    """
    if commands_allowed or _first_seen(message) not in SIGNS:
        return message
    return ESCAPE + message


def is_command(message: str) -> bool:
    """Whether the CLI carries ``message`` out itself when it is let: nobody answers it then."""
    return _first_seen(message) in COMMANDS


def compose(message: str, *, chinese: bool, commands_allowed: bool) -> str:
    """What the agent is sent for ``message``.

    :param chinese: ask for an answer in Chinese; not added to a command.
    """
    if chinese and not (commands_allowed and _first_seen(message) in SIGNS):
        return CHINESE + message
    return guard(message, commands_allowed)


def visible(message: str) -> str:
    """The message without what the CLI removes, for comparing what was sent with what arrived."""
    return _REMOVED.sub("", message)


def _first_seen(message: str) -> str:
    """The first character that is not removed, now or by a stricter release; empty without one."""
    for character in message:
        if not _REMOVED.match(character) and unicodedata.category(character) not in ("Cc", "Cf"):
            return character
    return ""
