"""Backup while the service runs: everything in one file, which is there when it is complete."""

import gzip
import io
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from qchat.adapters.progress import Progress, unseen
from qchat.adapters.removal import remove_tree
from qchat.adapters.snapshot import Snapshot
from qchat.adapters.statedir import StateDir
from qchat.adapters.tarstream import TarWriter


class BackupError(Exception):
    """The backup was not made; the text says why. Nothing is left behind."""


@frozen(kw_only=True)
class Backup:
    """What was backed up."""

    path: Path
    bytes: int
    sessions: int
    turns: int
    files: int
    deleted_meanwhile: int
    left_out: tuple[str, ...]
    """Sentences about what could not be read, and is not in it."""


def backup(state: StateDir, target: Path, *, homes: bool = True, progress: Progress = unseen) -> Backup:
    """Write a backup to ``target``, replacing the file that is there when it is complete.

    :raises BackupError:
    :raises StorageUnavailable: when the database is of another release.
    """
    target = _checked(state, target)
    try:
        with _scratch(target.parent) as scratch, ExitStack() as stack:
            job = Snapshot.take(state, scratch, homes, progress, stack)
            _write(job, scratch / "archive")
            os.rename(scratch / "archive", target)
            _sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BackupError(f"{target} was not written: {why}") from error
    return Backup(
        path=target,
        bytes=target.stat().st_size,
        sessions=job.sessions,
        turns=job.turns,
        files=job.files,
        deleted_meanwhile=len(job.deleted),
        left_out=tuple(job.left_out),
    )


def _checked(state: StateDir, target: Path) -> Path:
    target = target.parent.resolve() / target.name
    if target.is_relative_to(state.base):
        raise BackupError(
            f"{target} is in the base directory, which is what is backed up: take another place"
        )
    if not target.parent.is_dir():
        raise BackupError(f"{target} cannot be written: there is no directory {target.parent}")
    if os.path.lexists(target) and (target.is_symlink() or not target.is_file()):
        raise BackupError(f"{target} is there already, and is not a regular file")
    return target


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A directory beside the target, closed to others, that is gone at the end."""
    path = Path(tempfile.mkdtemp(prefix=".qchat-backup-", dir=parent))
    try:
        yield path
    finally:
        fd = os.open(parent, os.O_PATH | os.O_DIRECTORY)
        remove_tree(fd, path.name)
        os.close(fd)


def _write(job: Snapshot, path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with io.BufferedWriter(_Target(fd, "wb"), 1024 * 1024) as file:
        # Fast rather than small.
        with gzip.GzipFile(fileobj=file, filename="", mode="wb", compresslevel=1) as packed:
            tar = TarWriter(packed)
            job.write(tar)
            tar.close()
        file.flush()
        os.fsync(fd)


class _Target(io.FileIO):
    """Tells what goes wrong in writing apart from what goes wrong in reading."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise BackupError(f"the backup was not written: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(fd)
    finally:
        os.close(fd)
