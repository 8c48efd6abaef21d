"""Files on their way into workspaces: they get their names when all is there, and quotas hold.

All uploads into one session draw on the same room, however many run at once: what one has announced
or written nobody else can count on.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from os import stat_result

from attrs import define, field

from qchat.adapters.files import Files
from qchat.adapters.quota import Quota
from qchat.adapters.upload import Upload
from qchat.errors import QuotaExceeded
from qchat.service.thread import acquired, in_thread


@define(eq=False)
class _Room:
    """What one session may still take, as long as uploads into it are under way."""

    quota: Quota
    bytes: int = 0
    entries: int = 0
    claimed_bytes: int = 0
    """What uploads have taken of it that no count of the workspace finds yet."""
    claimed_entries: int = 0
    uploads: int = 0
    lock: asyncio.Lock = field(factory=asyncio.Lock)
    """Held while the workspace is counted, and while files get their names."""

    def claim(self, size: int, entries: int) -> None:
        """:raises QuotaExceeded:"""
        if size > self.bytes:
            raise QuotaExceeded(limit=self.quota.bytes)
        if entries > self.entries:
            raise QuotaExceeded(limit_files=self.quota.entries)
        self._move(size, entries)

    def _move(self, size: int, entries: int) -> None:
        self.bytes -= size
        self.entries -= entries
        self.claimed_bytes += size
        self.claimed_entries += entries

    def give_back(self, size: int, entries: int) -> None:
        self._move(-size, -entries)

    def settle(self, size: int, entries: int) -> None:
        """It has names now: counts find it."""
        self.claimed_bytes -= size
        self.claimed_entries -= entries


@define(eq=False)
class Batch:
    """The files of one request; none gets its name before all have come."""

    lock: asyncio.Lock
    """To be held from the last look at the workspace to the commit."""
    _files: Files
    _session_id: str
    _room: _Room
    _announced: int
    _uploads: list[Upload] = field(factory=list)
    _bytes: int = 0
    _entries: int = 0

    async def stage(self, path: bytes, pieces: AsyncIterable[bytes], *, replace: bool) -> None:
        """Write what comes to a file that has no name yet.

        :raises WorkspaceError: as :meth:`.Workspace.upload`.
        :raises QuotaExceeded:
        :raises OSError: when the disk is full.
        """
        begin = partial(self._files.upload, self._session_id, path, replace=replace)
        upload = await acquired(begin, Upload.close)
        self._uploads.append(upload)
        self._claim(0, upload.new_entries)
        async for piece in pieces:
            self._claim(len(piece), 0)
            await in_thread(upload.write, piece)
        await in_thread(upload.sync)  # so that a commit, which others wait for, is short

    def _claim(self, size: int, entries: int) -> None:
        announced = min(size, self._announced)  # claimed at the beginning
        self._room.claim(size - announced, entries)
        self._announced -= announced
        self._bytes += size
        self._entries += entries

    async def commit(self, number: int) -> stat_result:
        """Give the file that was staged as ``number`` its name; the caller holds the lock.

        :raises WorkspaceError: as :meth:`.Upload.commit`.
        """
        self._room.settle(self._bytes, self._entries)  # the next count finds what gets its name
        self._bytes = self._entries = 0
        return await in_thread(self._uploads[number].commit)

    def close(self) -> None:
        for upload in self._uploads:
            upload.close()
        self._room.give_back(self._bytes + self._announced, self._entries)


@define(eq=False, kw_only=True)
class Uploads:
    files: Files
    quota: Quota
    _rooms: dict[str, _Room] = field(factory=dict)

    @asynccontextmanager
    async def begin(self, session_id: str, announced: int) -> AsyncIterator[Batch]:
        """Uploads of one request, of which ``announced`` bytes are certain to come.

        :raises QuotaExceeded:
        """
        room = self._rooms.setdefault(session_id, _Room(self.quota))
        room.uploads += 1
        try:
            async with room.lock:
                await self._count(session_id, room)
            room.claim(announced, 0)
            batch = Batch(room.lock, self.files, session_id, room, announced)
            try:
                yield batch
            finally:
                batch.close()
        finally:
            room.uploads -= 1
            if not room.uploads:
                del self._rooms[session_id]

    async def _count(self, session_id: str, room: _Room) -> None:
        usage = await asyncio.to_thread(self.files.usage, session_id, self.quota.entries + 1)
        room.bytes = self.quota.bytes - usage.bytes - room.claimed_bytes
        room.entries = self.quota.entries - usage.entries - room.claimed_entries
