"""The files of sessions, for callers that know a session by its id."""

import os
from pathlib import Path

from attrs import define

from qchat.adapters.beneath import NotFound
from qchat.adapters.statedir import storage_error
from qchat.adapters.workspace import Listing, Workspace


@define(eq=False)
class Files:
    """``base`` is the directory of the workspaces. Synchronous: for a thread."""

    base: Path

    def listing(self, session_id: str) -> Listing:
        """The regular files of a workspace; none when it has vanished.

        :raises StorageUnavailable: when the base directory cannot be read.
        """
        try:
            base = os.open(self.base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error) from error
        try:
            with Workspace.open(base, session_id) as workspace:
                return workspace.listing()
        except NotFound:
            return Listing([], truncated=False)
        finally:
            os.close(base)
