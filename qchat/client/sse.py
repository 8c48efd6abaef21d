"""Server-sent events: bytes in, blocks out, however the bytes are cut; no input or output here."""

import re

from attrs import define, field, frozen

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@frozen(kw_only=True)
class Block:
    """What stands between two empty lines; None for what it does not say.

    One without ``data`` is no event, but its ``id`` counts.
    """

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: float | None = None
    """Seconds to wait before connecting again."""


@define
class Parser:
    """Reads one stream as https://html.spec.whatwg.org/multipage/server-sent-events.html says.

    A block that the end of the stream cuts off is no block.
    """

    _held: list[bytes] = field(factory=list)
    """The line that is not complete yet, in pieces."""
    _after_cr: bool = False
    _first: bool = True
    _fields: dict[str, str] = field(factory=dict)

    def feed(self, data: bytes) -> list[Block]:
        """The blocks that ``data`` completes."""
        if not data:
            return []
        if self._after_cr:  # the line has ended already; this may be the other half of its end
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        head, *lines = _LINE_END.split(data)
        self._held.append(head)
        found = []
        for line in lines:
            found.append(self._line(b"".join(self._held)))
            self._held = [line]
        return [block for block in found if block is not None]

    def _line(self, line: bytes) -> Block | None:
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._block()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._fields["data"] = self._fields.get("data", "") + value + "\n"
        elif name == "event" or (name == "id" and "\0" not in value):
            self._fields[name] = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self._fields["retry"] = value
        return None

    def _block(self) -> Block | None:
        if not self._fields:
            return None
        found, self._fields = self._fields, {}
        retry, data = found.get("retry"), found.get("data")
        return Block(
            id=found.get("id"),
            event=found.get("event"),
            data=None if data is None else data.removesuffix("\n"),
            retry=None if retry is None else int(retry) / 1000,
        )
