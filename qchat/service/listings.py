"""Listings of workspaces, rendered once for all who ask until something changes.

An agent changes its files at any time and tells nobody, so every answer is preceded by a look at
every file that it tells of. What is kept is only what follows from that look, which takes longer.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from fnmatch import translate

from attrs import define, field, frozen

from qchat.adapters.beneath import NotFound
from qchat.adapters.files import Files
from qchat.adapters.workspace import Listing, Workspace

MAX_KEPT_BYTES = 64 * 1024 * 1024


@frozen(kw_only=True)
class Wanted:
    """Which files of a session; ``glob`` is matched against the whole path, as it is displayed."""

    session_id: str
    limit: int
    after: bytes
    depth: int | None
    glob: str

    def listing(self, workspace: Workspace) -> Listing:
        matches = re.compile(translate(self.glob)).match if self.glob else None
        return workspace.listing(self.limit, self.after, self.depth, matches=matches)


@frozen
class Rendered:
    """A listing as it is sent. Pieces: to make, send or free megabytes in one go would hold everybody up."""

    version: str
    pieces: tuple[bytes, ...]
    size: int


Render = Callable[[Listing], tuple[bytes, ...]]


@define(eq=False, kw_only=True)
class Listings:
    files: Files
    _kept: OrderedDict[Wanted, Rendered] = field(factory=OrderedDict)
    _bytes: int = 0

    async def rendered(self, wanted: Wanted, render: Render) -> Rendered:
        """What ``render`` (called in a thread) makes of the listing.

        A workspace that has vanished has no files.
        """
        found = await asyncio.to_thread(self._look, wanted, self._kept.get(wanted), render)
        self._keep(wanted, found)
        return found

    def _look(self, wanted: Wanted, kept: Rendered | None, render: Render) -> Rendered:
        try:
            with self.files.workspace(wanted.session_id) as workspace:
                if kept and kept.version == wanted.listing(workspace).whole().version:
                    return kept
                return _rendered(wanted.listing(workspace), render)
        except NotFound:
            return _rendered(Listing.empty(), render)

    def _keep(self, wanted: Wanted, found: Rendered) -> None:
        if before := self._kept.pop(wanted, None):
            self._bytes -= before.size
        self._kept[wanted] = found
        self._bytes += found.size
        while self._bytes > MAX_KEPT_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].size


def _rendered(listing: Listing, render: Render) -> Rendered:
    pieces = render(listing)
    return Rendered(listing.version, pieces, sum(map(len, pieces)))
