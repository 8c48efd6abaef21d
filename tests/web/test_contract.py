"""The drop-in contract, line by line, over a real socket."""

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.conftest import StartService
from tests.harness import Client, answer

API = "/api/v1"
NOBODY = "550e8400-e29b-41d4-a716-446655440000"
JSON = {"Content-Type": "application/json"}

VALIDATION = "VALIDATION_ERROR"
ERRORS: list[tuple[str, str, Any, int, str, str]] = [
    # method, path, body, status, code, text
    ("GET", f"{API}/sessions/{NOBODY}", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/nope", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/{NOBODY.upper()}", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/%2e%2e", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/..%2f..%2fetc", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/%00", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", f"{API}/sessions/{NOBODY}/files", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("DELETE", f"{API}/sessions/{NOBODY}", None, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
    ("GET", "/nothing", None, 404, "ENDPOINT_NOT_FOUND", "请求的接口不存在"),
    ("PUT", f"{API}/chat", b"{}", 405, "METHOD_NOT_ALLOWED", "请求方法不被允许"),
    ("GET", f"{API}/chat", None, 405, "METHOD_NOT_ALLOWED", "请求方法不被允许"),
    *(
        (method, path, body, status, code, text)
        for method, path in (("POST", f"{API}/chat"), ("POST", f"{API}/chat/stream"))
        for body, status, code, text in (
            (b"", 400, VALIDATION, "请求体不能为空"),
            (b"{", 400, VALIDATION, "请求数据格式错误"),
            (b"[]", 400, VALIDATION, "请求数据格式错误"),
            (b"null", 400, VALIDATION, "请求数据格式错误"),
            (b"\xff", 400, VALIDATION, "请求数据格式错误"),
            (b"[" * 100_000, 400, VALIDATION, "请求数据格式错误"),
            ({}, 400, VALIDATION, "缺少必需字段: message"),
            ({"message": None}, 400, VALIDATION, "缺少必需字段: message"),
            ({"message": 7}, 400, VALIDATION, "请求数据格式错误"),
            ({"message": "  \n "}, 400, VALIDATION, "消息内容不能为空"),
            ({"message": "x" * 100_001}, 400, VALIDATION, "消息内容过长，最大100000字符"),
            ({"message": "x", "session_id": "nope"}, 400, VALIDATION, "会话ID格式无效"),
            ({"message": "x", "session_id": 7}, 400, VALIDATION, "会话ID格式无效"),
            ({"message": "x", "session_id": "../etc"}, 400, VALIDATION, "会话ID格式无效"),
            ({"message": "x", "session_id": NOBODY.upper()}, 400, VALIDATION, "会话ID格式无效"),
            ({"message": "x", "session_id": NOBODY}, 404, "SESSION_NOT_FOUND", "指定的会话不存在"),
            ({"message": "x", "on_busy": "dance"}, 400, VALIDATION, "请求数据格式错误"),
            ({"message": "x", "request_id": ["a"]}, 400, VALIDATION, "请求数据格式错误"),
            (b'{"message": "\\ud800"}', 400, VALIDATION, "请求数据格式错误"),
            (b'{"message": "a\\u0000b"}', 400, VALIDATION, "请求数据格式错误"),
            (b'{"message": "' + b"x" * 2_000_000 + b'"}', 413, "PAYLOAD_TOO_LARGE", "请求体过大"),
        )
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "expected"), [(*row[:3], row[3:]) for row in ERRORS])
async def test_errors(
    client: Client, method: str, path: str, body: Any, expected: tuple[int, str, str]
) -> None:
    """Every wrong request gets its status, its code and its text, and starts nothing."""
    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    url = URL(client.url + path, encoded=True)
    data = io.BytesIO(raw) if raw is not None else None
    async with client.http.request(
        method, url, data=data, headers=JSON if data is not None else {}
    ) as response:
        found = await response.json()
        assert (response.status, found["code"], found["error"]) == expected
        assert found["http_status"] == response.status
    assert (await client.json("GET", f"{API}/sessions"))["sessions"] == []


async def test_english(start_service: StartService) -> None:
    """QCHAT_LANG=en gives English texts with the same codes."""
    client, _ = await start_service(QCHAT_LANG="en")
    found = await client.json("GET", f"{API}/sessions/{NOBODY}", status=404)
    assert (found["code"], found["error"]) == ("SESSION_NOT_FOUND", "there is no such session")


async def test_body_must_say_that_it_is_json(client: Client) -> None:
    """A body without the JSON content type is 415: no form of another page can act."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        found = await client.json(
            "POST", f"{API}/chat", data=b'{"message":"x"}', headers={"Content-Type": kind}, status=415
        )
        assert found["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_root(client: Client) -> None:
    """Programs that ask for the root learn what there is."""
    found = await client.json("GET", "/", status=200)
    assert (found["service"], found["status"]) == ("qchat", "running")
    assert found["endpoints"] == {
        "chat": f"{API}/chat",
        "stream_chat": f"{API}/chat/stream",
        "sessions": f"{API}/sessions",
        "session_files": f"{API}/sessions/{{session_id}}/files",
        "health": "/health",
    }


async def test_health(client: Client) -> None:
    """Health names the agent's state and what is active."""
    await client.session()
    found = await client.json("GET", "/health", status=200)
    assert (found["status"], found["qcli_available"], found["active_sessions"]) == ("healthy", True, 1)
    assert found["active_processes"] == 0
    assert abs(found["timestamp"] - time.time()) < 60


async def test_health_degraded(start_service: StartService) -> None:
    """Without an agent CLI health is degraded, still 200, and a turn says what is missing."""
    client, _ = await start_service(PATH="/nowhere")
    found = await client.json("GET", "/health", status=200)
    assert (found["status"], found["qcli_available"]) == ("degraded", False)
    failed = await client.json("POST", f"{API}/chat", json={"message": "x"}, status=503)
    assert failed["code"] == "QCLI_UNAVAILABLE"


async def test_session(client: Client) -> None:
    """A session is made, shown, counted and deleted with the fields that clients know."""
    before = time.time()
    async with client.http.post(client.url + f"{API}/sessions", data=b"whatever") as response:
        created = await response.json()
        assert response.status == 201
        assert response.content_type == "application/json"
    assert set(created) == {"session_id", "created_at"}
    assert before - 1 < created["created_at"] < time.time() + 1
    session = created["session_id"]
    shown = await client.json("GET", f"{API}/sessions/{session}", status=200)
    assert shown["work_directory"].endswith(f"sessions/{session}")
    assert shown["absolute_work_directory"].startswith("/")
    assert shown["message_count"] == 0
    chat = await client.json(
        "POST", f"{API}/chat", json={"message": "say hi", "session_id": session}, status=200
    )
    assert chat["session_id"] == session
    assert chat["response"] == chat["message"] == "hi"
    after = await client.json("GET", f"{API}/sessions/{session}")
    assert after["message_count"] == 2
    assert after["last_activity"] > shown["last_activity"]
    assert await client.json("DELETE", f"{API}/sessions/{session}", status=200) == {"message": "会话已删除"}
    await client.json("GET", f"{API}/sessions/{session}", status=404)


async def test_message_count_is_capped(start_service: StartService) -> None:
    """MAX_HISTORY_LENGTH caps the message count, as it did."""
    client, _ = await start_service(MAX_HISTORY_LENGTH="1")
    chat = await client.json("POST", f"{API}/chat", json={"message": "say hi"}, status=200)
    assert (await client.json("GET", f"{API}/sessions/{chat['session_id']}"))["message_count"] == 1


async def test_files(client: Client) -> None:
    """The files of a workspace are listed recursively with relative paths."""
    session = await client.session()
    shown = await client.json("GET", f"{API}/sessions/{session}")
    directory = Path(shown["absolute_work_directory"])
    (directory / "sub").mkdir()
    (directory / "sub" / "文件.py").write_text("print()")
    found = await client.json("GET", f"{API}/sessions/{session}/files", status=200)
    entry = next(file for file in found["files"] if file["path"] == "sub/文件.py")
    assert (entry["name"], entry["size"]) == ("文件.py", 7)
    assert found["file_count"] == len(found["files"])
    assert found["absolute_work_directory"] == shown["absolute_work_directory"]


@pytest.mark.parametrize("empty", [None, ""])
async def test_chat_without_a_session(client: Client, empty: str | None) -> None:
    """A chat without a session creates one."""
    found = await client.json(
        "POST", f"{API}/chat", json={"message": "say hi", "session_id": empty}, status=200
    )
    await client.json("GET", f"{API}/sessions/{found['session_id']}", status=200)


async def test_stream_frames(client: Client) -> None:
    """A stream is exactly data lines of JSON: session, chunks, done."""
    async with client.http.post(
        client.url + f"{API}/chat/stream", json={"message": "say a\nsay b"}
    ) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        text = await response.text()
    blocks = [block for block in text.split("\n\n") if "data:" in block]
    types = []
    for block in blocks:
        match = re.fullmatch(r"(?:id: [0-9-]+\n)?data: (\{.*\})", block)
        assert match, block
        types.append(json.loads(match[1])["type"])
    assert types[0] == "session"
    assert types[-1] == "done"
    assert set(types[1:-1]) == {"chunk"}


async def test_busy_stream(client: Client) -> None:
    """A second prompt of a session that is busy is 409 as JSON, before any stream."""
    session = await client.session()
    await client.turn(session, "hang")
    for path in ("chat", "chat/stream"):
        body = {"message": "x", "session_id": session}
        found = await client.json("POST", f"{API}/{path}", json=body, status=409)
        assert found["code"] == "SESSION_BUSY"
    await client.json("POST", f"{API}/sessions/{session}/turns/1/cancel")


async def test_prompt_reaches_the_agent_as_it_is(client: Client) -> None:
    """Newlines, indentation and words that old services filtered reach the model."""
    prompt = "javascript: <script>\n\n\tdef f():\n\t\treturn 1  # 中文 😀"
    found = await client.json("POST", f"{API}/chat", json={"message": f"  {prompt}\n"}, status=200)
    stored = await client.json("GET", f"{API}/sessions/{found['session_id']}/turns/1")
    assert stored["prompt"] == prompt


async def test_error_frame(client: Client) -> None:
    """A failure after the start is an error frame with code and advice."""
    async with client.http.post(client.url + f"{API}/chat/stream", json={"message": "exit 3"}) as response:
        last = json.loads((await response.text()).strip().rpartition("data: ")[2])
    assert (last["type"], last["code"], last["exit_code"]) == ("error", "QCLI_PROCESSING_ERROR", 3)
    assert last["error"].startswith("AI处理失败")
    assert last["suggestions"]


async def test_timeout_is_408_on_a_closed_connection(start_service: StartService) -> None:
    """A timed out chat is 408, closes the connection, and its repeat does not run again."""
    client, ctx = await start_service()
    object.__setattr__(ctx.settings, "qcli_timeout", 0.3)
    session = await client.session()
    body = {"message": "hang", "session_id": session}
    for _ in range(2):
        async with client.http.post(client.url + f"{API}/chat", json=body) as response:
            found = await response.json()
            assert (response.status, found["code"]) == (408, "QCLI_TIMEOUT")
            assert found["error"] == "AI处理超时，请稍后重试"
            assert response.headers["Connection"] == "close"
    assert len((await client.json("GET", f"{API}/sessions/{session}/turns"))["turns"]) == 1


async def test_event_source_needs_a_session(client: Client) -> None:
    """The bare EventSource route is 400 without a session: a repeat could not be recognised."""
    await client.json("GET", f"{API}/chat/stream?message=x", status=400)


async def test_event_source(client: Client) -> None:
    """A bare EventSource gets an id first, the answer once, and 204 when it comes back."""
    session = await client.session()
    path = f"{API}/chat/stream?session_id={session}&message=say%20hi"
    async with client.http.get(client.url + path) as response:
        raw = await response.text()
    assert raw.startswith("id: 1-0\n\n")
    last_id = re.findall(r"id: (\S+)", raw)[-1]
    async with client.http.get(client.url + path, headers={"Last-Event-ID": last_id}) as response:
        assert response.status == 204
    found = await client.events(path, headers={"Last-Event-ID": "1-0"})
    assert answer(found) == "hi"
    found = await client.events(path)  # lost even the id: the turn has just ended
    assert answer(found) == "hi"
    assert len((await client.json("GET", f"{API}/sessions/{session}/turns"))["turns"]) == 1


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("OPTIONS", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
    ],
)
async def test_safe_requests_run_nothing(client: Client, method: str, headers: dict[str, str]) -> None:
    """HEAD, OPTIONS and prefetches of the chat route run nothing."""
    session = await client.session()
    url = client.url + f"{API}/chat/stream?session_id={session}&message=say%20hi"
    async with client.http.request(method, url, headers=headers) as response:
        assert response.status in (403, 405)
    assert (await client.json("GET", f"{API}/sessions/{session}/turns"))["turns"] == []
