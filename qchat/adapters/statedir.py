"""The directories on disk, and the lock that makes one service their owner.

::

    SESSIONS_BASE_DIR/
      {session id}/               the workspace of a session
      .qchat/                     never served, never visible to an agent
        lock                      held by the service, its warden and every keeper; names the service
        qchat.db  control.sock  ballast
        {session id}/home/        the agent's private HOME
        {session id}/turns/       {n}.out and {n}.err
        trash/                    renamed here at once, removed in the background
        lost/                     what no row knows of; for the operator
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from attrs import define, field

from qchat.errors import Overloaded, StorageFull, StorageUnavailable
from qchat.model.session import is_session_id

BALLAST_BYTES = 512 * 1024
LOCK_WAIT = 5.0


class AlreadyRunning(Exception):
    """Another service owns the directory; the text says which."""


@define(eq=False)
class StateDir:
    """``base`` is absolute and free of symbolic links; ``shown`` is how the operator wrote it."""

    base: Path
    shown: Path
    lock_fd: int = field(default=-1)

    @classmethod
    def open(cls, base: Path) -> "StateDir":
        """Make what is missing.

        :raises StorageUnavailable: when the directory cannot be made or written.
        """
        try:
            base.mkdir(parents=True, exist_ok=True)
            state = cls(base.resolve(strict=True), base)
            for path in (state.private, state.trash):
                with suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    give(path, to_owner_of=state.base)
            os.close(os.open(state.private, os.O_TMPFILE | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StorageUnavailable(
                en=f"the base directory {base} cannot be used: {error.strerror} (SESSIONS_BASE_DIR names it)"
            ) from error
        return state

    @classmethod
    def find(cls, base: Path) -> "StateDir":
        """What is there; nothing is made.

        :raises StorageUnavailable: when there is no such directory.
        """
        try:
            found = cls(base.resolve(strict=True), base)
            os.close(os.open(found.base, os.O_RDONLY | os.O_DIRECTORY))
        except OSError as error:
            raise StorageUnavailable(
                en=f"the base directory {base} cannot be read: {error.strerror} (SESSIONS_BASE_DIR names it)"
            ) from error
        return found

    @property
    def private(self) -> Path:
        return self.base / ".qchat"

    @property
    def database(self) -> Path:
        return self.private / "qchat.db"

    @property
    def trash(self) -> Path:
        return self.private / "trash"

    @property
    def control_socket(self) -> Path:
        return self.private / "control.sock"

    def workspace(self, session_id: str) -> Path:
        return self.base / session_id

    def home(self, session_id: str) -> Path:
        return self.private / session_id / "home"

    def transcript(self, session_id: str, number: int) -> Path:
        return self.private / session_id / "turns" / f"{number}.out"

    def record(self, session_id: str, number: int) -> Path:
        return self.transcript(session_id, number).with_suffix(".json")

    # The lock

    def lock(self, wait: float = LOCK_WAIT) -> None:
        """Become the owner.

        The lock is inherited by the warden and its keepers: whoever gets it knows that no turn of an
        earlier service is alive. So an owner that is gone is waited for, while its turns are ended.

        :raises AlreadyRunning: while another service lives.
        """
        fd = os.open(self.private / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give(fd, to_owner_of=self.private)
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = os.pread(fd, 100, 0).decode(errors="replace").strip()
                gone = owner.isdecimal() and not Path(f"/proc/{owner}").exists()
                if gone and time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                os.close(fd)
                who = f"the turns of process {owner}, which ended," if gone else f"process {owner or '?'}"
                raise AlreadyRunning(f"{self.base} is in use by {who}: stop it first") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.lock_fd = fd
        self.take_ballast()

    def unlock(self) -> None:
        os.close(self.lock_fd)
        self.lock_fd = -1

    # Sessions

    def create(self, session_id: str) -> None:
        """Make what a session needs and does not have yet.

        :raises StorageFull: when there is no room.
        :raises StorageUnavailable: when the base directory has vanished or cannot be written.
        """
        try:
            for path in (
                self.workspace(session_id),
                self.private / session_id,
                self.home(session_id),
                self.private / session_id / "turns",
            ):
                with suppress(FileExistsError):
                    path.mkdir(mode=0o700)
        except OSError as error:
            raise storage_error(error) from error

    def mark_seeded(self, session_id: str) -> bool:
        """Note that the session's HOME is prepared; false when it was already."""
        try:
            (self.private / session_id / "seeded").touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return False
        return True

    def discard(self, session_id: str) -> bool:
        """Move a session's directories to the trash; false when there were none."""
        found = False
        for path in (self.workspace(session_id), self.private / session_id):
            with suppress(FileNotFoundError):
                path.rename(self.trash / f"{session_id}-{uuid4().hex}")
                found = True
        return found

    def set_aside(self, path: Path, name: str) -> None:
        """Move something of ours that belongs to nothing to ``lost``, where it is in nobody's way."""
        lost = self.private / "lost"
        with suppress(FileExistsError):
            lost.mkdir(mode=0o700)
            give(lost, to_owner_of=self.private)
        path.rename(lost / f"{name}-{uuid4().hex}")

    def on_disk(self) -> Iterator[os.DirEntry[str]]:
        """The directories that are named by a session id."""
        with os.scandir(self.base) as entries:
            for entry in entries:
                if is_session_id(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield entry

    # Room to manoeuvre on a full disk

    def drop_ballast(self) -> bool:
        """Give up the reserve, so that the last facts can still be written; false when it is spent."""
        try:
            (self.private / "ballast").unlink()
        except OSError:
            return False
        return True

    def take_ballast(self) -> None:
        """Fill the reserve while there is plenty of room."""
        path = self.private / "ballast"
        room = os.statvfs(self.private)
        if path.exists() or room.f_bavail * room.f_frsize < 4 * BALLAST_BYTES:
            return
        with suppress(OSError):
            path.write_bytes(bytes(BALLAST_BYTES))


def give(made: int | Path, *, to_owner_of: Path) -> None:
    """What root makes beside the service must not lock the service's own user out."""
    if os.geteuid() == 0:
        owner = to_owner_of.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


def storage_error(error: OSError) -> StorageFull | StorageUnavailable | Overloaded:
    """What a client is told of an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull()
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Overloaded("too many open files")
    return StorageUnavailable(error.strerror)
