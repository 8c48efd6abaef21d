"""The checkpoints of a turn that has ended, in a file beside its transcript.

They only save time, so what is missing or was written by another version of the parser counts for
nothing: the transcript is parsed again. Backups leave them out.
"""

import hashlib
import io
import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import structlog

import qchat.model
from qchat.model.numbered import Numbered

log = structlog.get_logger()
DIGEST_BYTES = 32


def save(transcript: Path, states: Sequence[Numbered]) -> None:
    """Write the states, all or nothing; for a thread. A failure costs time later, and nothing else."""
    new = transcript.with_suffix(".checkpoints.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(_version())
            pickle.dump([*states], file)
        new.rename(_beside(transcript))
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        log.info("checkpoints not kept", path=str(transcript), error=error.strerror)


def load(transcript: Path) -> list[Numbered] | None:
    """The states that were saved by this version of the parser; None when there are none."""
    try:
        data = _beside(transcript).read_bytes()
        if not data.startswith(_version()):
            return None
        found = _OnlyStates(io.BytesIO(data[DIGEST_BYTES:])).load()
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, Numbered) for one in found) else None


def _beside(transcript: Path) -> Path:
    return transcript.with_suffix(".checkpoints")


@cache
def _version() -> bytes:
    """Of the parser: a state means nothing to other code than that which made it."""
    found = hashlib.sha256()
    for path in sorted(Path(qchat.model.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()


class _OnlyStates(pickle.Unpickler):
    """Makes what states consist of, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith("qchat.model.") else None
        if not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return found
