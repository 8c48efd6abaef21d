"""Who asks: a principal owns the sessions that it creates."""

from typing import Literal

from attrs import frozen

Role = Literal["user", "admin"]
MAX_NAME_CHARS = 200


@frozen
class Principal:
    """``name`` is what sessions keep as their owner; a role decides what is seen beside one's own."""

    name: str
    role: Role = "user"

    def sees(self, owner: str) -> bool:
        """Whether sessions of ``owner`` exist for this principal."""
        return self.role == "admin" or owner == self.name


LOCAL = Principal("", "admin")
"""The operator: everybody who comes to a loopback address without access control, and whom QCHAT_TOKEN
and the link of the start let in. It owns what was taken over from the disk."""


def is_principal_name(text: object) -> bool:
    """Whether ``text`` can name a principal: printable, not empty (that is the operator), no space around."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_NAME_CHARS
        and text.isprintable()
        and text.strip() == text
    )
