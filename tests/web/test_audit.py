"""The audit log: who did what to which session, from where, and how it went."""

import json
from pathlib import Path
from typing import Any

import pytest

from qchat.context import Context
from tests.conftest import StartService
from tests.tokens import Tokens, bearer

API = "/api/v1"


def lines(ctx: Context) -> list[dict[str, Any]]:
    path = ctx.audit.path
    assert path is not None
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for line in found:
        assert set(line) >= {"time", "action", "outcome", "client"}
    return found


async def test_every_act_is_written_down(start_service: StartService, tmp_path: Path) -> None:
    """Each act is one line with its principal, token, address, session, turn and outcome; reading is none."""
    tokens = Tokens(tmp_path)
    tokens.add("laptop", principal="alice")
    client, ctx = await start_service(QCHAT_TOKENS_FILE=str(tokens.path))
    headers = tokens.bearer("laptop")
    session = (await client.json("POST", f"{API}/sessions", headers=headers))["session_id"]
    base = f"{API}/sessions/{session}"
    await client.json("POST", f"{base}/turns", json={"message": "hang"}, headers=headers, status=202)
    await client.json("POST", f"{base}/turns", json={"message": "x"}, headers=headers, status=409)
    await client.json("POST", f"{base}/turns/1/cancel", headers=headers, status=200)
    async with client.http.put(f"{client.url}{base}/files/a%0Ab", data=b"x", headers=headers) as response:
        assert response.status == 201
    for path in ("/files/a%0Ab", "/archive", "/turns/1/output"):
        async with client.http.get(f"{client.url}{base}{path}", headers=headers) as response:
            await response.read()
    await client.json("GET", base, headers=headers, status=200)
    await client.json("PATCH", base, json={"title": "x"}, headers=headers, status=200)
    await client.json("DELETE", base, headers=headers, status=200)
    await client.json("DELETE", base, headers=headers, status=404)
    found = lines(ctx)
    assert [(line["action"], line["outcome"], line.get("turn")) for line in found] == [
        ("create_session", "ok", None),
        ("prompt", "ok", 1),
        ("prompt", "SESSION_BUSY", None),
        ("cancel", "ok", "1"),
        ("upload", "ok", None),
        ("download", "ok", None),
        ("download", "ok", None),
        ("download", "ok", "1"),
        ("change_session", "ok", None),
        ("delete_session", "ok", None),
        ("delete_session", "SESSION_NOT_FOUND", None),
    ]
    for line in found:
        known = (line["session"], line["principal"], line["token"], line["via"], line["client"])
        assert known == (session, "alice", "laptop", "token", "127.0.0.1")
    assert found[4]["path"] == "a\nb"


async def test_prompts_are_written_down_when_they_are_taken(
    start_service: StartService, tmp_path: Path
) -> None:
    """A prompt is in the log before its turn ends, with the session that was made for it; a repeat is not."""
    client, ctx = await start_service(QCHAT_SHUTDOWN_GRACE="0")
    key = {"Idempotency-Key": "k"}
    async with client.http.post(
        f"{client.url}{API}/chat/stream", json={"message": "hang"}, headers=key
    ) as response:
        await response.content.readline()
        made, prompt = lines(ctx)
        async with client.http.post(
            f"{client.url}{API}/chat/stream", json={"message": "hang"}, headers=key
        ) as again:
            await again.content.readline()
    assert (made["action"], prompt["action"], prompt["turn"]) == ("create_session", "prompt", 1)
    assert made["session"] == prompt["session"]
    assert prompt["principal"] == "operator"
    assert len(lines(ctx)) == 2


async def test_logins_are_written_down(start_service: StartService, tmp_path: Path) -> None:
    """Logins and wrong tokens are in the log, good ones with their name; requests without any are not."""
    tokens = Tokens(tmp_path)
    tokens.add("laptop", principal="alice")
    client, ctx = await start_service(QCHAT_TOKENS_FILE=str(tokens.path), QCHAT_LOGIN_FAILURES="2")
    await client.json("GET", f"{API}/sessions", status=401)
    secret = tokens.secrets["laptop"]
    async with client.http.post(f"{client.url}{API}/login", json={"token": secret}) as response:
        cookie = response.headers["Set-Cookie"].partition(";")[0]
    headers = {"Origin": client.url, "Cookie": cookie}
    async with client.http.post(f"{client.url}{API}/logout", headers=headers) as response:
        assert response.status == 204
    await client.json("POST", f"{API}/login", json={"token": "wrong"}, status=401)
    await client.json("GET", f"{API}/sessions", headers=bearer("wrong"), status=401)
    for _ in range(3):
        await client.json("GET", f"{API}/sessions", headers=bearer("wrong"), status=429)
    assert [(line["action"], line["outcome"], line.get("principal")) for line in lines(ctx)] == [
        ("login", "ok", "alice"),
        ("logout", "ok", "alice"),
        ("login", "UNAUTHORIZED", None),
        ("authenticate", "UNAUTHORIZED", None),
    ]


async def test_where_it_goes(start_service: StartService, tmp_path: Path) -> None:
    """The log is its owner's alone, goes where it is told, or nowhere; a failure to write stops nothing."""
    client, ctx = await start_service()
    await client.session()
    path = ctx.state.private / "audit.log"
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    path.mkdir()
    await client.session()
    other = str(tmp_path / "audit")
    client, ctx = await start_service(SESSIONS_BASE_DIR=str(tmp_path / "two"), QCHAT_AUDIT_LOG=other)
    await client.session()
    assert len(Path(other).read_text().splitlines()) == 1
    with pytest.raises(OSError, match="missing"):
        await start_service(
            SESSIONS_BASE_DIR=str(tmp_path / "two-more"), QCHAT_AUDIT_LOG=str(tmp_path / "missing/audit")
        )
    client, ctx = await start_service(SESSIONS_BASE_DIR=str(tmp_path / "three"), QCHAT_AUDIT_LOG="off")
    await client.session()
    assert not list(ctx.state.private.glob("audit*"))
