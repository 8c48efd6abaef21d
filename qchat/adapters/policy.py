"""What the operator allows agents: as values, without any doing."""

from pathlib import Path
from typing import Literal, Self

from attrs import frozen

Mode = Literal["auto", "required", "off", "external"]
GIB = 1024**3
MIB = 1024**2


@frozen
class Network:
    """TCP ports that agents may connect to."""

    kind: Literal["ports", "host", "none"]
    ports: tuple[int, ...] = ()

    ALLOWED = "ports:443,53 (a list of TCP ports), host, or none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ports:443,53``, ``host`` or ``none``.

        :raises ValueError: for anything else.
        """
        if text == "host":
            return cls("host")
        if text == "none":
            return cls("none")
        kind, _, ports = text.partition(":")
        numbers = sorted({int(port) for port in ports.split(",")})
        if kind != "ports" or not all(0 < number < 65536 for number in numbers):
            raise ValueError(text)
        return cls("ports", tuple(numbers))

    def __str__(self) -> str:
        return self.kind if self.kind != "ports" else "ports:" + ",".join(map(str, self.ports))


@frozen(kw_only=True)
class Limits:
    """Bounds of one turn; sizes in bytes."""

    processes: int = 1024
    """Processes and threads at once; counted in bubblewrap and in a cgroup only."""
    file_bytes: int = 4 * GIB
    """Size of one file."""
    open_files: int = 16384
    memory_bytes: int = 4 * GIB
    """In a delegated cgroup only."""
    tmp_bytes: int = 128 * MIB
    shm_bytes: int = 64 * MIB

    def of_processes(self, *, count: bool) -> dict[str, int]:
        """Resource limits by name; ``count``: whether processes can be counted by themselves."""
        limits = {"CORE": 0, "FSIZE": self.file_bytes, "NOFILE": self.open_files}
        return {**limits, "NPROC": self.processes} if count else limits


@frozen(kw_only=True)
class Policy:
    """Everything that decides how agents are started."""

    base: Path
    """Base directory of the workspaces: absolute, free of links."""
    mode: Mode = "auto"
    user: str = ""
    """QCHAT_AGENT_USER; empty for the best there is."""
    network: Network = Network("ports", (53, 443))
    server_port: int = 0
    """The service's own port, which no agent may reach."""
    visible: tuple[Path, ...] = ()
    """What agents need besides the system's directories, to read: their programs."""
    limits: Limits = Limits()

    @property
    def private(self) -> Path:
        return self.base / ".qchat"
