"""Bytes of files on their way: ranges, quotas, archives and listings, over a real socket."""

import asyncio
import io
import os
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import StartService
from tests.harness import Client, bash, until
from tests.web.places import API, extracted, held, made, url_of

DATA = b"0123456789"


@pytest.mark.parametrize("kind", ["file", "output"])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=2-4", (206, 2, 5)),
        ("bytes=2-", (206, 2, None)),
        ("bytes=-3", (206, -3, None)),
        ("bytes=-1000", (206, 0, None)),
        ("bytes=0-1000", (206, 0, None)),
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=4-2", (200, 0, None)),
        ("bytes=0-1,4-5", (200, 0, None)),
        ("bytes=", (200, 0, None)),
        ("bytes=-", (200, 0, None)),
        ("bytes=a-b", (200, 0, None)),
        ("lines=1-2", (200, 0, None)),
        ("bytes=0-" + "9" * 5000, (200, 0, None)),
        ("bytes=1000-", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
    ],
)
async def test_ranges(client: Client, kind: str, wanted: str, expected: tuple[int, int, int | None]) -> None:
    """One range of bytes is sent alone, what is none is ignored, and only one beyond the end is 416."""
    status, start, end = expected
    session, directory = await made(client)
    if kind == "file":
        (directory / "f").write_bytes(DATA)
        url = str(url_of(client, session, b"f"))
    else:
        await client.turn(session, "say hi")
        await client.ended(session, 1)
        url = f"{client.url}{API}/sessions/{session}/turns/1/output"
    async with client.http.get(url) as response:
        whole = await response.read()
        assert response.headers["Accept-Ranges"] == "bytes"
    async with client.http.get(url, headers={"Range": wanted}) as response:
        body = await response.read()
        assert response.status == status
        if status == 416:
            assert response.headers["Content-Range"] == f"bytes */{len(whole)}"
            assert (await response.json())["code"] == "RANGE_NOT_SATISFIABLE"
            return
        assert body == whole[start:end]
        if status == 206:
            first = start % len(whole)
            sent = f"bytes {first}-{first + len(body) - 1}/{len(whole)}"
            assert response.headers["Content-Range"] == sent


async def test_if_range(client: Client) -> None:
    """A range of a version that is no longer there is ignored: the whole file comes."""
    session, directory = await made(client)
    (directory / "f").write_bytes(DATA)
    url = url_of(client, session, b"f")
    async with client.http.get(url) as response:
        etag, date = response.headers["ETag"], response.headers["Last-Modified"]
    cases = [(etag, 206), (date, 206), ('"other"', 200), (f"W/{etag}", 200), ("nonsense", 200)]
    cases.append(("Mon, 01 Jan 2001 00:00:00 GMT", 200))
    for version, status in cases:
        async with client.http.get(url, headers={"Range": "bytes=1-2", "If-Range": version}) as response:
            assert response.status == status, version
            assert await response.read() == (DATA[1:3] if status == 206 else DATA)
    async with client.http.put(url, data=b"9876543210"):
        pass
    async with client.http.get(url, headers={"Range": "bytes=1-2", "If-Range": etag}) as response:
        assert (response.status, await response.read()) == (200, b"9876543210")


async def test_head(client: Client) -> None:
    """HEAD tells what GET would send."""
    session, directory = await made(client)
    (directory / "f").write_bytes(DATA)
    async with client.http.head(url_of(client, session, b"f"), headers={"Range": "bytes=1-2"}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, "10")
    await until(lambda: not held(directory))


async def test_a_file_that_shrinks(client: Client) -> None:
    """A file that loses its end while it is sent is a cut connection, never a whole answer."""
    session, directory = await made(client)
    with open(directory / "f", "wb") as file:
        file.truncate(64 << 20)
    async with client.http.get(url_of(client, session, b"f")) as response:
        await response.content.readexactly(1000)
        os.truncate(directory / "f", 1000)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def upload(client: Client, session: str, name: bytes, pieces: AsyncIterator[bytes]) -> int:
    async with client.http.put(url_of(client, session, name), data=pieces) as response:
        return response.status


@pytest.mark.parametrize("announced", [True, False])
async def test_quota_of_parallel_uploads(start_service: StartService, announced: bool) -> None:
    """Uploads that run at once share the room of their session: together they stay within its quota."""
    client, ctx = await start_service(QCHAT_SESSION_BYTES="100000")
    session, directory = await made(client)
    gate = asyncio.Barrier(8)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 10_000
        await gate.wait()
        yield b"x" * 20_000

    async def one(number: int) -> int:
        body = b"x" * 30_000 if announced else pieces()
        async with client.http.put(url_of(client, session, b"f%d" % number), data=body) as response:
            return response.status

    statuses = await asyncio.gather(*map(one, range(8)))
    assert set(statuses) == {201, 507}
    assert ctx.files.usage(session).bytes <= 100_000
    assert len(list(directory.iterdir())) == statuses.count(201)
    (directory / "f0").unlink(missing_ok=True)
    for path in list(directory.iterdir()):
        path.unlink()
    async with client.http.put(url_of(client, session, b"all"), data=b"x" * 90_000) as response:
        assert response.status == 201  # nothing of the room was lost


async def test_quota_of_files(start_service: StartService) -> None:
    """The directories that an upload makes count, and one that is refused makes none."""
    client, _ = await start_service(QCHAT_SESSION_FILES="5")
    session, directory = await made(client)
    refused = await client.json(
        "PUT", str(url_of(client, session, b"a/b/c/d/e/f"))[len(client.url) :], status=507
    )
    assert refused["code"] == "QUOTA_EXCEEDED"
    assert list(directory.iterdir()) == []
    async with client.http.put(url_of(client, session, b"a/b/c"), data=b"1") as response:
        assert response.status == 201


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"a\0b", 400),
        (b"x" * 256, 400),
        (b"new/" + b"x" * 256, 400),
        (b"a.txt/b", 409),
        (b"a.txt/b/c", 409),
        (b"directory", 409),
        (b"link", 400),
        (b"up/x", 400),
        (b"new/" + b"x" * 255, 201),
    ],
)
async def test_upload_names(client: Client, name: bytes, status: int) -> None:
    """A name that no file can have is 400, one that something else is in the way of 409."""
    session, directory = await made(client)
    (directory / "directory").mkdir()
    (directory / "a.txt").write_bytes(b"a")
    (directory / "link").symlink_to("a.txt")
    (directory / "up").symlink_to("..")
    before = sorted(os.listdir(directory))
    async with client.http.put(url_of(client, session, name), data=b"x") as response:
        assert response.status == status, await response.text()
    if status != 201:
        assert sorted(os.listdir(directory)) == before
        assert (directory / "a.txt").read_bytes() == b"a"


async def test_a_client_that_leaves(client: Client) -> None:
    """An upload whose client goes away leaves no file, no directory and no descriptor."""
    session, directory = await made(client)
    begun = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(upload(client, session, b"a/b", pieces()))
    await begun.wait()
    await until(lambda: held(directory))
    task.cancel()
    await until(lambda: not held(directory))
    assert list(directory.iterdir()) == []


async def test_a_session_that_is_deleted_meanwhile(client: Client) -> None:
    """An upload into a session that is deleted before its end is 404."""
    session, directory = await made(client)
    begun, go = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        begun.set()
        await go.wait()

    task = asyncio.create_task(upload(client, session, b"f", pieces()))
    await begun.wait()
    await until(lambda: held(directory))
    await client.json("DELETE", f"{API}/sessions/{session}", status=200)
    go.set()
    assert await task == 404


async def test_too_many_parts(client: Client) -> None:
    """A request takes up to a hundred files, and one that has more leaves none."""
    session, directory = await made(client)
    path = f"{API}/sessions/{session}/files"
    for count, status in ((101, 400), (100, 201)):
        form = aiohttp.FormData()
        for number in range(count):
            form.add_field("f", b"1", filename=f"{number}")
        await client.json("POST", path, data=form, status=status)
        assert len(list(directory.iterdir())) == (count if status == 201 else 0)


async def test_listing_is_never_stale(client: Client) -> None:
    """A listing that was kept is not told again once anything has changed, whoever changed it."""
    session, directory = await made(client)
    path = f"{API}/sessions/{session}/files"

    async def listed() -> dict[str, int]:
        return {file["path"]: file["size"] for file in (await client.json("GET", path, status=200))["files"]}

    assert await listed() == {}
    (directory / "a").write_bytes(b"1")
    assert await listed() == {"a": 1}
    with open(directory / "a", "ab") as file:
        file.write(b"2")
    assert await listed() == {"a": 2}
    async with client.http.put(url_of(client, session, b"d/b"), data=b"333") as response:
        assert response.status == 201
    assert await listed() == {"a": 2, "d/b": 3}
    await client.turn(session, bash("echo -n 4444 > d/c; rm a"))
    await client.ended(session, 1)
    assert await listed() == {"d/b": 3, "d/c": 4}
    (directory / "d" / "c").rename(directory / "c")
    assert await listed() == {"c": 4, "d/b": 3}
    async with client.http.delete(url_of(client, session, b"c")) as response:
        assert response.status == 204
    assert await listed() == {"d/b": 3}


async def test_listing_that_is_known(client: Client) -> None:
    """A client that has a listing already is told so, until it changes."""
    session, directory = await made(client)
    url = f"{client.url}{API}/sessions/{session}/files"
    (directory / "a").touch()
    async with client.http.get(url) as response:
        headers = {"If-None-Match": response.headers["ETag"]}
        first = await response.read()
    async with client.http.get(url, headers=headers) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with client.http.get(url) as response:
        assert await response.read() == first
    (directory / "b").touch()
    async with client.http.get(url, headers=headers) as response:
        assert response.status == 200


async def test_reading_while_a_turn_runs(client: Client) -> None:
    """A turn that runs keeps nobody from listing, reading, writing or packing files."""
    session, directory = await made(client)
    (directory / "f").write_bytes(DATA)
    await client.turn(session, "hang")
    async with asyncio.timeout(10):
        assert (await client.json("GET", f"{API}/sessions/{session}/files", status=200))["file_count"] == 1
        async with client.http.get(url_of(client, session, b"f")) as response:
            assert await response.read() == DATA
        async with client.http.put(url_of(client, session, b"g"), data=b"1") as response:
            assert response.status == 201
        async with client.http.get(f"{client.url}{API}/sessions/{session}/archive") as response:
            with zipfile.ZipFile(io.BytesIO(await response.read())) as archive:
                assert archive.namelist() == ["f", "g"]
    assert (await client.json("GET", f"{API}/sessions/{session}/turns/1"))["state"] == "running"
    await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
async def test_archive_of_strange_files(client: Client, kind: str) -> None:
    """Names of any bytes, names that look alike and times that no archive can tell are archived."""
    session, directory = await made(client)
    names = [b"a\nb", b"a\\x0ab", b"invalid-\xff", "中文".encode(), b"x" * 255, b"empty"]
    for number, name in enumerate(names):
        path = Path(os.fsdecode(bytes(directory) + b"/" + name))
        path.write_bytes(b"" if name == b"empty" else b"%d" % number)
        os.utime(path, (-5e9, -5e9) if number % 2 else (1e10, 1e10))
    async with client.http.get(f"{client.url}{API}/sessions/{session}/archive?format={kind}") as response:
        data = io.BytesIO(await response.read())
    if kind == "zip":
        with zipfile.ZipFile(data) as archive:
            assert archive.testzip() is None
            contents = sorted(archive.read(name) for name in archive.namelist())
            assert len(set(archive.namelist())) == len(names)
    else:
        with tarfile.open(fileobj=data, encoding="utf-8", errors="surrogateescape") as tar:
            members = tar.getmembers()
            contents = sorted(extracted(tar, member) for member in members)
            assert {os.fsencode(member.name) for member in members} == set(names)
    assert contents == sorted([b"", b"0", b"1", b"2", b"3", b"4"])


async def test_archives_that_nobody_reads(client: Client) -> None:
    """Clients that ask for archives and do not read them keep nobody else waiting."""
    session, directory = await made(client)
    (directory / "big").write_bytes(os.urandom(4_000_000))
    url = f"{client.url}{API}/sessions/{session}/archive?format=tar.gz"
    stalled = [await client.http.get(url) for _ in range(40)]
    async with asyncio.timeout(20):
        await client.json("GET", f"{API}/sessions/{session}/files", status=200)
        async with client.http.put(url_of(client, session, b"new"), data=b"1") as response:
            assert response.status == 201
    for response in stalled:
        response.close()
    await until(lambda: not held(directory))
