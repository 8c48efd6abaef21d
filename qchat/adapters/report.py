"""How well agents are kept apart: what was measured, in words."""

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

Level = Literal["full", "partial", "none"]

OPEN = {
    "sessions": "read the files of other sessions",
    "metadata": "see sizes, times and names of other sessions' files, and chmod them",
    "temporary": "read other programs' temporary files",
    "state": "read the service's own files",
    "processes": "see the service's processes and their command lines",
    "environment": "read the service's environment",
    "signals": "send signals to the service",
    "descriptors": "use descriptors that the service has open",
    "port": "connect to the service's own port",
    "multipath": "connect to the service's own port by Multipath TCP",
    "fastopen": "connect to the service's own port by TCP Fast Open",
    "sockets": "connect to local sockets of other programs",
    "namespaces": "make user namespaces, which widens the kernel's attack surface",
    "keyrings": "use the service's keyring",
    "privileges": "gain privileges",
    "root": "run as root",
    "writing": "write outside its session",
    "limits": "start any number of processes, or write files of any size",
    "daemons": "leave processes behind that outlive the turn",
}
"""What an agent can do when the canary of this name got through."""
FATAL = {"sessions", "root", "environment"}
"""Without these nothing is promised at all."""


@frozen(kw_only=True)
class Report:
    """What canaries found in the composition that turns will run in."""

    level: Level
    method: str
    """``bubblewrap``, ``landlock``, ``plain``, ``off`` or ``external``."""
    open: Mapping[str, str] = {}
    """Canaries that got through, by name, and what each found."""
    advice: tuple[str, ...] = ()
    """Sentences: what stands in the way of more, and what helps."""

    @classmethod
    def of(cls, method: str, found: Mapping[str, str], advice: tuple[str, ...] = ()) -> "Report":
        """Judge what canaries brought back: (name, detail), the detail empty where it was contained."""
        opened = {name: detail for name, detail in found.items() if detail}
        level: Level = "partial" if opened else "full"
        if FATAL & set(opened):
            level = "none"
        return cls(level=level, method=method, open=opened, advice=advice)

    def sentences(self) -> list[str]:
        """What an operator should know, for the log and the doctor."""
        told = [f"isolation is {self.level} ({self.method})"]
        if self.open:
            told.append("an agent can " + "; ".join(OPEN[name] for name in self.open))
        return [*told, *self.advice]

    def to_json(self) -> dict[str, object]:
        """``{level, method, open: [name], advice: [sentence]}``."""
        return {
            "level": self.level,
            "method": self.method,
            "open": [*self.open],
            "advice": [*self.advice],
        }
