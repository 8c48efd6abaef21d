"""The files of a session's workspace."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, Literal
from urllib.parse import quote

from attrs import frozen

from qchat.client.transport import Transport
from qchat.client.values import File

PIECE_BYTES = 256 * 1024
Path = str | bytes | File
"""A path relative to the workspace; bytes for a name that is no UTF-8, or what a listing gave."""


@frozen(eq=False, kw_only=True)
class Files:
    transport: Transport
    session_path: str

    def _path(self, path: Path) -> str:
        if isinstance(path, File):
            return path.href
        return f"{self.session_path}/files/{quote(path)}"

    async def list(self, *, glob: str = "", depth: int | None = None) -> "list[File]":
        """All regular files, recursively."""
        found: list[File] = []
        query = {"glob": glob, "depth": str(depth) if depth else "", "limit": "10000"}
        while True:
            text = "&".join(f"{name}={quote(value, safe='%')}" for name, value in query.items() if value)
            page = await self.transport.json("GET", f"{self.session_path}/files?{text}")
            found += map(File.of, page["files"])
            if not page.get("next"):
                return found
            query["after"] = quote(page["next"], safe="")

    async def read(self, path: Path) -> bytes:
        """The whole file.

        :raises NotFound:
        """
        return await self.transport.request("GET", self._path(path))

    async def stream(self, path: Path) -> AsyncGenerator[bytes]:
        """The file in pieces, for one that is large."""
        async with self.transport.open("GET", self._path(path)) as response:
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                yield piece

    async def write(
        self,
        path: Path,
        content: bytes | AsyncIterable[bytes],
        *,
        if_match: str | None = None,
        create: bool = False,
    ) -> None:
        """Make ``content`` the file, whole or not at all.

        :param if_match: only when this is still the ETag of the file.
        :param create: only when there is no such file.
        :raises PreconditionFailed: such a condition does not hold.
        """
        headers: dict[str, Any] = {"Content-Type": "application/octet-stream"}
        if if_match is not None:
            headers["If-Match"] = if_match
        if create:
            headers["If-None-Match"] = "*"
        # Pieces come only once; and a condition that held the first time does not the second.
        repeat = isinstance(content, bytes) and len(headers) == 1
        await self.transport.request("PUT", self._path(path), data=content, headers=headers, repeat=repeat)

    async def delete(self, path: Path) -> None:
        """One that is gone already is no error."""
        await self.transport.delete(self._path(path), gone="FILE_NOT_FOUND")

    async def archive(self, kind: Literal["zip", "tar.gz"] = "zip") -> AsyncGenerator[bytes]:
        """The whole workspace, in pieces."""
        path = f"{self.session_path}/archive?format={kind}"
        async with self.transport.open("GET", path) as response:
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                yield piece
