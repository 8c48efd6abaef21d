"""Files in and out of a workspace, over a real socket."""

import asyncio
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from tests.conftest import StartService
from tests.harness import Client, until
from tests.web.places import API, extracted, held, made, url_of

NAMES = [
    b"plain.txt",
    "中文/文件 名.txt".encode(),
    b"line\nbreak",
    b'quote".txt',
    "bidi\u202etxt.exe".encode(),
    b"invalid-\xff-utf8",
    b"x" * 255,
    b".hidden",
    b"percent%2e%2e",
    b"semi;colon?and#hash",
]


@pytest.mark.parametrize("name", NAMES)
async def test_round_trip(client: Client, name: bytes) -> None:
    """Any name that the file system takes can be uploaded, listed, downloaded by its href, and removed."""
    session, directory = await made(client)
    url = url_of(client, session, name)
    async with client.http.put(url, data=b"content") as response:
        assert response.status == 201, await response.text()
        etag = response.headers["ETag"]
    assert (Path(os.fsdecode(bytes(directory) + b"/" + name))).read_bytes() == b"content"
    listed = await client.json("GET", f"{API}/sessions/{session}/files", status=200)
    (entry,) = listed["files"]
    async with client.http.get(URL(client.url + entry["href"], encoded=True)) as response:
        assert await response.read() == b"content"
        assert response.headers["ETag"] == etag
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
    async with client.http.put(url, data=b"again") as response:
        assert response.status == 200
    async with client.http.delete(url) as response:
        assert response.status == 204
    async with client.http.get(url) as response:
        assert (response.status, (await response.json())["code"]) == (404, "FILE_NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    [
        b"../x",
        b"a/../../x",
        b"/etc/passwd",
        b"a\0b",
        b"..",
        b".",
        b"a//b",
        b"x" * 256,
        b"link/passwd",
        b"passwd",
    ],
)
async def test_no_way_out(client: Client, path: bytes) -> None:
    """Paths that lead out of the workspace, and links that do, are refused for reading and writing."""
    session, directory = await made(client)
    (directory / "link").symlink_to("/etc")
    (directory / "passwd").symlink_to("/etc/passwd")
    url = url_of(client, session, path)
    for method in ("GET", "PUT", "DELETE"):
        async with client.http.request(method, url, data=b"x" if method == "PUT" else None) as response:
            text = await response.text()
            assert 400 <= response.status < 500, (method, response.status, text)
            assert "root:" not in text
    assert "root:" in Path("/etc/passwd").read_text()


async def test_ranges_and_conditions(client: Client) -> None:
    """Downloads take ranges and conditions, uploads take If-Match and If-None-Match."""
    session, _ = await made(client)
    url = url_of(client, session, b"f")
    async with client.http.put(url, data=b"0123456789") as response:
        etag = response.headers["ETag"]
    async with client.http.get(url, headers={"Range": "bytes=2-4"}) as response:
        assert (response.status, await response.read()) == (206, b"234")
    async with client.http.get(url, headers={"If-None-Match": etag}) as response:
        assert response.status == 304
    for headers in ({"If-None-Match": "*"}, {"If-Match": '"other"'}, {"If-None-Match": etag}):
        async with client.http.put(url, data=b"no", headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (412, "PRECONDITION_FAILED")
    async with client.http.put(url, data=b"yes", headers={"If-Match": etag}) as response:
        assert response.status == 200


async def test_multipart(client: Client) -> None:
    """Several files come in one multipart request; one that is none is a clear 400."""
    session, directory = await made(client)
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("a", b"1", filename="sub/one.txt")
    form.add_field("b", b"22", filename="二.txt")
    path = f"{API}/sessions/{session}/files"
    found = await client.json("POST", path, data=form, status=201)
    assert [file["path"] for file in found["files"]] == ["sub/one.txt", "二.txt"]
    assert (directory / "二.txt").read_bytes() == b"22"
    bounded = "multipart/form-data; boundary=y"
    charset = b'--y\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"z" * 99 + b"\r\n--y--"
    for body, kind in ((b"nonsense", "multipart/form-data"), (b"--x--", bounded), (charset, bounded)):
        refused = await client.json("POST", path, data=body, headers={"Content-Type": kind}, status=400)
        assert refused["code"] == "VALIDATION_ERROR"


async def test_quota(start_service: StartService) -> None:
    """An upload that would exceed the session's quota is 507 and leaves nothing."""
    client, _ = await start_service(QCHAT_SESSION_BYTES="10000")
    session, directory = await made(client)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    for data in (b"x" * 200_000, pieces()):
        async with client.http.put(url_of(client, session, b"big"), data=data) as response:
            assert (response.status, (await response.json())["code"]) == (507, "QUOTA_EXCEEDED")
    assert list(directory.iterdir()) == []


async def test_listing_pages(client: Client) -> None:
    """A long listing comes in pages, and can be narrowed by depth and pattern."""
    session, directory = await made(client)
    (directory / "d").mkdir()
    for number in range(25):
        (directory / f"{number:02}.txt").touch()
        (directory / "d" / f"{number:02}.py").touch()
    path = f"{API}/sessions/{session}/files"
    seen: list[str] = []
    query = "limit=7"
    while True:
        page = await client.json("GET", f"{path}?{query}", status=200)
        seen += [file["path"] for file in page["files"]]
        if not page["truncated"]:
            break
        query = f"limit=7&after={quote(page['next'], safe='')}"
    assert len(seen) == len(set(seen)) == 50
    assert (await client.json("GET", f"{path}?depth=1"))["file_count"] == 25
    assert (await client.json("GET", f"{path}?glob=d/*.py"))["file_count"] == 25
    for query in ("limit=0", "limit=x", "depth=-1"):
        await client.json("GET", f"{path}?{query}", status=400)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
async def test_archive(client: Client, kind: str) -> None:
    """The whole workspace comes as an archive; links are left out."""
    session, directory = await made(client)
    (directory / "sub").mkdir()
    (directory / "sub" / "文件").write_bytes(b"content")
    (directory / "big").write_bytes(os.urandom(3_000_000))
    (directory / "link").symlink_to("/etc/passwd")
    async with client.http.get(f"{client.url}{API}/sessions/{session}/archive?format={kind}") as response:
        assert response.status == 200
        data = io.BytesIO(await response.read())
    if kind == "zip":
        with zipfile.ZipFile(data) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(fileobj=data) as tar:
            found = {member.name: extracted(tar, member) for member in tar}
    assert found == {"sub/文件": b"content", "big": (directory / "big").read_bytes()}
    await client.json("GET", f"{API}/sessions/{session}/archive?format=rar", status=400)


async def test_preview_runs_nothing(client: Client) -> None:
    """A preview of HTML or SVG is plain text, one of a picture is a picture."""
    session, directory = await made(client)
    (directory / "x.html").write_text("<script>alert(1)</script>")
    (directory / "x.svg").write_text("<svg onload='alert(1)'/>")
    (directory / "x.png").write_bytes(b"\x89PNG")
    for name, kind in (("x.html", "text/plain"), ("x.svg", "text/plain"), ("x.png", "image/png")):
        async with client.http.get(
            f"{client.url}{API}/sessions/{session}/files/{name}?preview=1"
        ) as response:
            assert response.content_type == kind
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_patch(client: Client) -> None:
    """A session takes a title, a pin and a time to live; anything else is refused by name."""
    session = await client.session()
    path = f"{API}/sessions/{session}"
    changed = await client.json("PATCH", path, json={"title": "旅行", "expires_in": 120}, status=200)
    assert (changed["title"], changed["expires_in"]) == ("旅行", 120)
    assert abs(changed["expires_at"] - changed["last_activity"] - 120) < 30
    pinned = await client.json("PATCH", path, json={"pinned": True}, status=200)
    assert (pinned["pinned"], pinned["expires_at"], pinned["title"]) == (True, None, "旅行")
    for body in ({"title": 7}, {"title": "x\ny"}, {"expires_in": 5}, {"expires_in": True}, {"owner": "me"}):
        refused = await client.json("PATCH", path, json=body, status=400)
        assert next(iter(body)) in refused["details"]


async def test_a_refused_upload_changes_nothing(client: Client) -> None:
    """Bodies that are encoded, cut short or malformed are 4xx, and the file that is there stays."""
    session, directory = await made(client)
    (directory / "keep").write_bytes(b"old")
    url = f"{API}/sessions/{session}/files"
    packed = gzip.compress(os.urandom(200_000))[:60_000]
    for encoding in ("gzip", "deflate", "bogus"):
        headers = {"Content-Encoding": encoding}
        await client.json("PUT", f"{url}/keep", data=io.BytesIO(packed), headers=headers, status=415)
        headers |= {"Content-Type": "application/json"}
        await client.json("POST", f"{API}/chat", data=b'{"message": "x"}', headers=headers, status=415)
    first = b'--q\r\nContent-Disposition: form-data; name="f"; filename="keep"\r\n\r\nnew'
    for rest in (b"", b"\r\n--q\r\nbadheader\r\n\r\nhi\r\n--q--\r\n", b"\r\n--q\r\n\r\nhi\r\n--q--\r\n"):
        headers = {"Content-Type": "multipart/form-data; boundary=q"}
        found = await client.json("POST", url, data=first + rest, headers=headers, status=400)
        assert found["code"] == "VALIDATION_ERROR"
    assert [path.name for path in directory.iterdir()] == ["keep"]
    assert (directory / "keep").read_bytes() == b"old"


async def test_if_match_holds_until_the_end(client: Client) -> None:
    """Of two uploads with the same If-Match one wins, although both began when it was true."""
    session, directory = await made(client)
    url = url_of(client, session, b"f")
    async with client.http.put(url, data=b"a") as response:
        headers = {"If-Match": response.headers["ETag"]}
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"AA"
        begun.set()
        await go.wait()
        yield b"AA"

    async def slow() -> int:
        async with client.http.put(url, data=slowly(), headers=headers) as response:
            return response.status

    first = asyncio.create_task(slow())
    await begun.wait()
    async with client.http.put(url, data=b"second", headers=headers) as response:
        assert response.status == 200
    go.set()
    assert await first == 412
    assert (directory / "f").read_bytes() == b"second"


async def test_answers_without_a_body(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """304, 412 and 416 are answered without a trace in the log, and leave no descriptor open."""
    session, directory = await made(client)
    url = url_of(client, session, b"f")
    async with client.http.put(url, data=b"abc") as response:
        etag = response.headers["ETag"]
    cases: list[tuple[dict[str, str], int]] = [
        ({"If-None-Match": etag}, 304),
        ({"If-Match": '"x"'}, 412),
        ({"Range": "bytes=99-"}, 416),
        ({}, 200),
    ]
    for headers, status in cases:
        async with client.http.get(url, headers=headers) as response:
            await response.read()
            assert response.status == status
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    await until(lambda: not held(directory))
