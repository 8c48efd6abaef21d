"""The audit log: who did what to which session, from where. One line of JSON each, in a file of its own.

Never a prompt, an answer, or anything that lets somebody in.
"""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog
from attrs import define

from qchat.adapters.statedir import give

log = structlog.get_logger()
RETRY_SECONDS = 60.0


@define(eq=False)
class AuditLog:
    """``path`` None writes nothing. The file is opened for every line, so that logrotate may move it."""

    path: Path | None
    _complained: float = -RETRY_SECONDS

    def check(self) -> None:
        """:raises OSError: when it cannot be written."""
        if self.path is not None:
            _append(self.path, b"")

    def write(self, action: str, **facts: object) -> None:
        """Add a line; facts that are None or empty are left out. A failure is logged, and stops nothing."""
        if self.path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {name: value for name, value in facts.items() if value not in (None, "")}
        # In ASCII, so that nothing in it can disturb a terminal.
        line = json.dumps({"time": now, "action": action, **known}) + "\n"
        try:
            _append(self.path, line.encode())
        except OSError as error:
            if time.monotonic() - self._complained >= RETRY_SECONDS:
                self._complained = time.monotonic()
                log.error("audit log not written", path=str(self.path), error=error.strerror)


def _append(path: Path, data: bytes) -> None:
    new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if new:  # root may have made it for a service of another user
            give(fd, to_owner_of=path.parent)
        os.write(fd, data)
    finally:
        os.close(fd)
