"""One line of the doctor's."""

from typing import Any, Literal

from attrs import asdict, frozen

Status = Literal["ok", "warn", "fail"]


@frozen
class Line:
    status: Status
    subject: str
    text: str
    advice: str = ""
    """What to do; empty when there is nothing to do."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
