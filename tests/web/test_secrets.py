"""Canaries: what lets somebody in, and what somebody asks, shows up nowhere it does not belong."""

import asyncio
import json
import os
from pathlib import Path

import aiohttp

from qchat.settings import Settings, in_force
from tests.admin.base import admin_beside
from tests.harness import Client, Server, answer, bash, environment, server
from tests.tokens import Tokens, bearer

API = "/api/v1"
OPERATOR = "canary-of-the-operator-0123456789"
KEY = "canary-of-kiro-0123456789"
PROMPT = "canary of a prompt"
NOBODY = "550e8400-e29b-41d4-a716-446655440000"


def malformed(secret: str) -> list[bytes]:
    """Requests that are no HTTP, or nearly, and carry a token."""
    header = f"Authorization: Bearer {secret}\r\n"
    start = "GET /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return [
        text.encode("latin-1")
        for text in (
            f"{start}Authorization : Bearer {secret}\r\n\r\n",
            f"{start}Authorization: Bearer {secret}\0\r\n\r\n",
            f"{start} Authorization: Bearer {secret}\r\n\r\n",
            f"{start}{header}X: {'x' * 20_000}\r\n\r\n",
            f"{start}{header}Content-Length: x\r\n\r\n",
            f"{start}Authorization: Bearer {secret}{'x' * 20_000}\r\n\r\n",
            f"GET /{secret}\0 HTTP/1.1\r\n{header}\r\n",
            f"{secret} / HTTP/9.9\r\n{header}\r\n",
            f"{secret}\r\n\r\n",
            f"{start.replace('127.0.0.1', 'a b')}{header}\r\n",
        )
    ]


async def say(port: int, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    said = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return said.decode("latin-1")


async def refusals(client: Client, secret: str) -> str:
    """Whatever the service says to requests that it refuses."""
    said = ""
    good = bearer(secret)
    for method, path, headers, body in (
        ("GET", "/nothing", good, None),
        ("GET", f"/nothing?token={secret}", {}, None),
        ("GET", f"{API}/sessions", bearer(f"{secret}x"), None),
        ("GET", f"{API}/sessions", {**good, "Host": "evil.example"}, None),
        ("GET", f"{API}/sessions", {**good, "Origin": "https://evil.example"}, None),
        ("GET", f"{API}/sessions/{NOBODY}", good, None),
        ("GET", f"{API}/sessions/{NOBODY}/files/x", good, None),
        ("PUT", f"{API}/chat", good, None),
        ("POST", f"{API}/chat", good, b"{"),
        ("POST", f"{API}/chat", good, b'{"message": 1}'),
        ("POST", f"{API}/chat", {**good, "Content-Type": "text/plain"}, b"{}"),
        ("POST", f"{API}/chat", {**good, "Content-Encoding": "gzip"}, b"{}"),
        ("POST", f"{API}/login", {}, f'{{"token": "{secret}"'.encode()),
        ("POST", f"{API}/login", {}, json.dumps({"token": [secret]}).encode()),
        ("POST", f"{API}/login", {}, json.dumps({"password": secret}).encode()),
        ("POST", f"{API}/login", {}, json.dumps({"token": secret + "x"}).encode()),
    ):
        typed = {"Content-Type": "application/json", **headers} if body else headers
        async with client.http.request(method, client.url + path, headers=typed, data=body) as response:
            assert 400 <= response.status < 500, (method, path)
            said += f"{response.headers}{await response.text()}"
    port = int(client.url.rpartition(":")[2])
    for request in malformed(secret):
        # What is no HTTP comes back to its sender with the line that is wrong, and to nobody else.
        assert " 200 " not in (await say(port, request)).partition("\r\n")[0]
    return said


async def logged_in(client: Client, secret: str) -> tuple[str, str]:
    """What the cookie holds, and what came in the body."""
    async with client.http.post(f"{client.url}{API}/login", json={"token": secret}) as response:
        [cookie] = response.cookies.values()
        said = await response.text()
    client.http.cookie_jar.clear()
    return cookie.value, said


async def environment_of_an_agent(client: Client, headers: dict[str, str]) -> str:
    session = (await client.json("POST", f"{API}/sessions", headers=headers))["session_id"]
    path = f"{API}/sessions/{session}/turns"
    command = bash("env; tr '\\0' '\\n' </proc/self/environ; ls -la $HOME")
    await client.json("POST", path, json={"message": command}, headers=headers, status=202)
    found = await client.events(f"{path}/1/events", headers=headers)
    said = "".join(str(frame.data.get("output", "")) for frame in found if frame.data)
    assert "PATH=" in said + answer(found)
    return said


async def test_canaries(tmp_path: Path) -> None:
    """No token, cookie or key is in a log, an answer or an agent's environment; no prompt is in a log."""
    tokens = Tokens(tmp_path)
    alice = tokens.add("alice", role="admin")
    env = environment(
        tmp_path / "sessions",
        DEBUG="true",
        QCHAT_TOKEN=OPERATOR,
        QCHAT_TOKENS_FILE=str(tokens.path),
        QCHAT_LOG_FILE=str(tmp_path / "app.log"),
        QCHAT_LOGIN_FAILURES="1000",
        KIRO_API_KEY=KEY,
    )
    async with server(env, tmp_path / "stderr") as running, aiohttp.ClientSession() as http:
        client = Client(http, running.url)
        cookie, said = await logged_in(client, alice)
        for secret in (OPERATOR, alice):
            said += await refusals(client, secret)
            said += await environment_of_an_agent(client, bearer(secret))
        chat = {"message": f"say x {PROMPT}"}
        await client.json("POST", f"{API}/chat", json=chat, headers=bearer(alice), status=200)
        await client.json("GET", f"{API}/sessions", headers={"Cookie": f"x={cookie}"}, status=401)
        said += json.dumps(await client.json("GET", "/health", headers=bearer(OPERATOR), status=200))
        names = ("QCHAT_TOKEN", "QCHAT_TOKENS_FILE", "QCHAT_LOG_FILE", "KIRO_API_KEY")
        told = await admin_beside(
            tmp_path / "sessions", "doctor", "--json", **{name: env[name] for name in names}
        )
        said += told.out + told.err
        assert '"QCHAT_TOKEN": "(hidden)"' in told.out
        logs = written(running, tmp_path)
    secrets = (OPERATOR, alice, cookie, KEY)
    for secret in secrets:
        assert secret not in said, said[max(0, said.find(secret) - 200) :][:400]
    assert [secret for secret in (*secrets, PROMPT) if secret in logs] == []
    assert "qchat_" not in logs


def written(running: Server, directory: Path) -> str:
    """All logs, and what the server said when it started but for the link."""
    files = [directory / "stderr", directory / "app.log", directory / "sessions/.qchat/audit.log"]
    assert all(path.stat().st_size for path in files)
    lines = [line for line in running.lines if "#login=" not in line]
    return "\n".join([*(path.read_text() for path in files), *lines])


def test_settings_keep_the_token_to_themselves() -> None:
    """QCHAT_TOKEN is not among what agents may inherit, and is not shown with the settings."""
    settings = Settings.from_env({"QCHAT_TOKEN": OPERATOR, "PATH": "/bin"})
    assert settings.token == OPERATOR
    assert dict(settings.inherited) == {"PATH": "/bin"}
    assert OPERATOR not in f"{settings!r}{in_force(settings)}"


async def test_what_is_on_disk_lets_nobody_in(tmp_path: Path) -> None:
    """Nothing that the service keeps is a token or cookie that could be used."""
    tokens = Tokens(tmp_path)
    alice = tokens.add("alice")
    env = environment(tmp_path / "sessions", QCHAT_TOKEN=OPERATOR, QCHAT_TOKENS_FILE=str(tokens.path))
    async with server(env, tmp_path / "stderr") as running, aiohttp.ClientSession() as http:
        client = Client(http, running.url)
        cookie, _ = await logged_in(client, alice)
        link = running.lines[1].rpartition("=")[2]
    for root, _, names in os.walk(tmp_path):
        for name in names:
            data = (Path(root) / name).read_bytes()
            assert not [one for one in (alice, OPERATOR, cookie, link) if one.encode() in data], name
