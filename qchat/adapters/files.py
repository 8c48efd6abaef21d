"""The files of sessions, for callers that know a session by its id.

Agent-written files are hostile, so everything goes through :mod:`.workspace`. Synchronous: for threads.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from attrs import define

from qchat.adapters.archive import Kind, archive_pieces
from qchat.adapters.beneath import Denied, NotFound, NotRegular
from qchat.adapters.statedir import storage_error
from qchat.adapters.tree import MOST_ENTRIES
from qchat.adapters.upload import Upload
from qchat.adapters.workspace import Usage, Workspace


@define(eq=False)
class Files:
    """``base`` is the directory of the workspaces, ``private`` that of the sessions' homes."""

    base: Path
    private: Path

    def workspace(self, session_id: str) -> AbstractContextManager[Workspace]:
        """:raises StorageUnavailable: when the base directory cannot be read.
        :raises WorkspaceError:
        """
        return self._open(self.base, session_id)

    @staticmethod
    @contextmanager
    def _open(base: Path, name: str) -> Iterator[Workspace]:
        try:
            fd = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error) from error
        try:
            with Workspace.open(fd, name) as workspace:
                yield workspace
        finally:
            os.close(fd)

    def usage(self, session_id: str, most: int = MOST_ENTRIES) -> Usage:
        """What a session takes, its private home included: an agent can write to both."""
        found = Usage(0, 0, 0, complete=True)
        for base, name in ((self.base, session_id), (self.private / session_id, "home")):
            with suppress(NotFound), self._open(base, name) as workspace:
                usage = workspace.measure(most)
                found = Usage(
                    found.bytes + usage.bytes,
                    found.files + usage.files,
                    found.entries + usage.entries,
                    found.complete and usage.complete,
                )
        return found

    def open(self, session_id: str, path: bytes) -> tuple[int, os.stat_result]:
        """Open a regular file; the caller closes the descriptor.

        :raises WorkspaceError:
        """
        with self.workspace(session_id) as workspace:
            return workspace.open_file(path)

    def status(self, session_id: str, path: bytes) -> os.stat_result | None:
        """That of a regular file; None when there is none, or none that may be read.

        :raises WorkspaceError: Outside, Busy.
        """
        try:
            fd, status = self.open(session_id, path)
        except (NotFound, NotRegular, Denied):
            return None
        os.close(fd)
        return status

    def upload(self, session_id: str, path: bytes, *, replace: bool) -> Upload:
        """:raises WorkspaceError:"""
        with self.workspace(session_id) as workspace:
            return workspace.upload(path, replace=replace)

    def archive(self, session_id: str, kind: Kind) -> Generator[bytes]:
        """All files as an archive, piece by piece; nothing is made that is not asked for.

        :raises WorkspaceError:
        """
        with self.workspace(session_id) as workspace:
            yield from archive_pieces(workspace, kind)

    def remove(self, session_id: str, path: bytes) -> None:
        """:raises WorkspaceError:"""
        with self.workspace(session_id) as workspace:
            workspace.remove(path)
