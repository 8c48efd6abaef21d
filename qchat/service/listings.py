"""Listings of workspaces, rendered once for all who ask until something changes.

An agent changes its files at any time and tells nobody, so every answer is preceded by a look at
every file that it tells of. What is kept is only what follows from that look, which takes longer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field, frozen

from qchat.adapters.files import Files
from qchat.adapters.workspace import Listing

MAX_KEPT_BYTES = 64 * 1024 * 1024


@frozen(kw_only=True)
class Wanted:
    """Which files of a session: see :meth:`.Files.listing`."""

    session_id: str
    limit: int
    after: bytes
    depth: int | None
    glob: str


@define(eq=False, kw_only=True)
class Listings:
    files: Files
    _kept: OrderedDict[Wanted, tuple[str, bytes]] = field(factory=OrderedDict)
    _bytes: int = 0

    async def rendered(self, wanted: Wanted, render: Callable[[Listing], bytes]) -> tuple[str, bytes]:
        """The listing's version, and what ``render`` (called in a thread) makes of it."""
        listing, version = await asyncio.to_thread(self._look, wanted)
        kept = self._forget(wanted)
        body = kept[1] if kept and kept[0] == version else await asyncio.to_thread(render, listing)
        self._keep(wanted, version, body)
        return version, body

    def _look(self, wanted: Wanted) -> tuple[Listing, str]:
        listing = self.files.listing(
            wanted.session_id,
            limit=wanted.limit,
            after=wanted.after,
            depth=wanted.depth,
            glob=wanted.glob,
        )
        return listing, listing.version()

    def _keep(self, wanted: Wanted, version: str, body: bytes) -> None:
        self._forget(wanted)  # somebody may have rendered it at the same time
        self._kept[wanted] = version, body
        self._bytes += len(body)
        while self._bytes > MAX_KEPT_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1][1])

    def _forget(self, wanted: Wanted) -> tuple[str, bytes] | None:
        kept = self._kept.pop(wanted, None)
        self._bytes -= len(kept[1]) if kept else 0
        return kept
