"""What is wrong with a request, said in the words of whoever sent it."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.harness import Client, bash
from tests.web.places import connection

API = "/api/v1"
JSON = {"Content-Type": "application/json"}
LEAKS = ("recursion", "set_int_max", "NoneType", "Traceback", "bytearray", "dict", "<class")


async def exchange(client: Client, request: bytes) -> bytes:
    """Everything that is answered to some bytes."""
    async with asyncio.timeout(10), connection(client) as (reader, writer):
        with suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        return await reader.read()


POST = b"POST /api/v1/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /" + b"canary" * 3000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + b"canary" * 3000 + b"\r\n\r\n",
        b"GET http://[canary HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\0b\r\n\r\n",
        POST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        POST + b"Content-Length: x\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Type: application/json\r\nExpect: cake\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_no_http(client: Client, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """What is no valid HTTP gets a JSON error, and no error, traceback or byte of it in the log."""
    with capture_logs() as logs:
        answer = await exchange(client, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    assert (found["code"], found["http_status"]) == ("VALIDATION_ERROR", 400)
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"application/json" in head
    assert "canary" not in found["details"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [line for line in logs if line["log_level"] in ("error", "warning") or "canary" in str(line)]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"null", "null"),
        (b"[]", "array"),
        (b"7", "7"),
        (b'{"a": 1,}', "line 1"),
        (b"[" * 200_000, "deep"),
        (b'{"message": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"message": NaN}', "NaN"),
        (b'{"message": "\xff"}', "UTF-8"),
        ('{"message": "say hi"}'.encode("utf-16"), "UTF-8"),
        (b'{"message": {}}', "object"),
        (b'{"message": true}', "true"),
        (b'{"message": "x", "on_busy": null}', "null"),
        (b'{"message": "x", "on_busy": "\\ud800"}', "on_busy"),
        (b'{"message": "x", "session_id": 7}', "session_id=7"),
        (b'{"message": "x", "request_id": ""}', "request_id"),
        (b'{"message": "x", "request_id": "a\\nb"}', "request_id"),
        (b'{"message": "x", "request_id": []}', "request_id"),
    ],
)
async def test_json(client: Client, body: bytes, word: str) -> None:
    """What is wrong with a body is told in terms of JSON, not of this program."""
    found = await client.json("POST", f"{API}/chat", data=body, headers=JSON, status=400)
    assert word in found["details"]
    assert not any(leak in found["details"] for leak in LEAKS)
    assert (await client.json("GET", f"{API}/sessions"))["sessions"] == []


async def test_charset(client: Client) -> None:
    """A body is UTF-8, with or without a byte order mark; one that says that it is not is 415."""
    session = await client.session()
    path, body = f"{API}/sessions/{session}", '{"title": "é"}'
    for kind, prefix in (("application/json; charset=UTF-8", b""), ("application/json", b"\xef\xbb\xbf")):
        headers = {"Content-Type": kind}
        found = await client.json("PATCH", path, data=prefix + body.encode(), headers=headers, status=200)
        assert found["title"] == "é"
    for charset in ("latin-1", "utf-16", "nonsense"):
        headers = {"Content-Type": f"application/json; charset={charset}"}
        found = await client.json("PATCH", path, data=body.encode("latin-1"), headers=headers, status=415)
        assert charset in found["details"]


async def test_request_keys_that_disagree(client: Client) -> None:
    """A header and a field that name different keys are refused, equal ones are one key."""
    session = await client.session()
    path = f"{API}/sessions/{session}/turns"
    for header, field in (("a", "b"), ("", "b"), ("a", "")):
        body = {"message": "say hi", "request_id": field}
        await client.json("POST", path, json=body, headers={"Idempotency-Key": header}, status=400)
    await client.json("POST", path, json={"message": "x"}, headers={"Idempotency-Key": ""}, status=400)
    assert (await client.json("GET", path))["turns"] == []
    body = {"message": "say hi", "request_id": "a"}
    await client.json("POST", path, json=body, headers={"Idempotency-Key": "a"}, status=202)
    await client.json("POST", path, json=body, status=200)


@pytest.mark.parametrize(
    ("body", "words", "others"),
    [
        ({"title": None}, ["title=null", "200 printable"], ["pinned", "expires_in"]),
        ({"title": "x" * 201}, ["title", "200 printable"], ["pinned", "expires_in"]),
        ({"pinned": 1}, ["pinned=1", "true or false"], ["title", "expires_in"]),
        ({"pinned": None}, ["pinned=null"], ["title"]),
        ({"expires_in": 59}, ["expires_in=59", "60", "1000000000", "null"], ["title", "pinned"]),
        ({"expires_in": "60"}, ['expires_in="60"'], ["title"]),
        ({"expires_in": 1e300}, ["expires_in=1e+300"], ["title"]),
        ({"owner": "me"}, ['"owner"', "title, pinned, expires_in"], []),
        ({"title": "fine", "\ud800": 1}, ["title, pinned, expires_in"], []),
    ],
)
async def test_patch(client: Client, body: dict[str, Any], words: list[str], others: list[str]) -> None:
    """A change that cannot be names the one field that is wrong and what it takes, and changes nothing."""
    path = f"{API}/sessions/{await client.session()}"
    before = await client.json("GET", path)
    found = await client.json("PATCH", path, data=json.dumps(body).encode(), headers=JSON, status=400)
    assert all(word in found["details"] for word in words), found
    assert not any(word in found["details"] for word in others), found
    assert await client.json("PATCH", path, json={}, status=200)
    after = await client.json("GET", path)
    assert (after["title"], after["pinned"]) == (before["title"], before["pinned"])


async def test_positions(client: Client) -> None:
    """Every id that was sent is taken; one with a third number that no event has is 400."""
    session = await client.session()
    await client.turn(session, "hang")
    await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel", status=200)
    await client.turn(session, bash("echo one") + "\nsay two\nsay three")
    await client.ended(session, 2)
    path = f"{API}/sessions/{session}/turns/2/events"
    ids = [frame.id for frame in await client.events(path) if frame.id]
    assert any(id_.count("-") == 2 for id_ in ids)
    for id_ in ids:
        async with client.http.get(f"{client.url}{path}?after={id_}") as response:
            assert response.status == (204 if id_ == ids[-1] else 200), id_
    wrong = {f"2-{offset}-{nth}" for offset in range(0, 300, 3) for nth in (1, 2)} - set(ids)
    wrong |= {"1-0-1", "2-0-2", f"{ids[-1]}-1"}
    for id_ in wrong:
        for url in (f"{path}?after={id_}", f"{API}/sessions/{session}/events?after={id_}"):
            found = await client.json("GET", url, status=400)
            assert id_ in found["details"]


async def test_no_empty_details(client: Client) -> None:
    """An error frame has details only when there are any."""
    session = await client.session()
    await client.turn(session, "exit 3")
    failed = await client.ended(session, 1)
    assert failed["type"] == "error"
    assert failed.get("details") != ""
