"""Where a session's files are: in the file system, and by HTTP."""

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes

from yarl import URL

from tests.harness import Client

API = "/api/v1"


async def made(client: Client) -> tuple[str, Path]:
    """A session and its directory."""
    session = await client.session()
    shown = await client.json("GET", f"{API}/sessions/{session}")
    return session, Path(shown["absolute_work_directory"])


def url_of(client: Client, session: str, path: bytes) -> URL:
    return URL(f"{client.url}{API}/sessions/{session}/files/{quote_from_bytes(path)}", encoded=True)


def extracted(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """What a regular file in an archive holds."""
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def held(directory: Path) -> list[str]:
    """The files of a directory that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(link))
    return [path for path in found if path.startswith(str(directory))]


@asynccontextmanager
async def connection(client: Client) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """For requests that no client library would send."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
