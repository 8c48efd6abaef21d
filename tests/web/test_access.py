"""Tokens and logins: who gets in, whose sessions exist for them, and when that ends."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from qchat.adapters.tokens import TokensError
from qchat.app import create_app
from qchat.context import Context
from qchat.settings import Settings
from qchat.web.openai_wire import SESSION_HEADER
from qchat.web.routes import add_routes
from tests.conftest import StartService
from tests.harness import Client, environment, server
from tests.tokens import Tokens, bearer

API = "/api/v1"
NOBODY = "550e8400-e29b-41d4-a716-446655440000"
Start = Callable[..., Awaitable[tuple[Client, Context]]]
WITHOUT_SESSION = {
    *("/", "/ui/{name}", "/health", "/livez", "/readyz", "/metrics", f"{API}/openapi.json", f"{API}/docs"),
    *(f"{API}/login", f"{API}/logout", f"{API}/sessions", "/v1/models", "/v1/models/{model}"),
}
"""Routes that name no session; the lists of sessions have a test of their own."""
ELSEWHERE = {
    *(("POST", f"{API}/chat"), ("POST", f"{API}/chat/stream"), ("GET", f"{API}/chat/stream")),
    ("POST", "/v1/chat/completions"),
}
"""Routes that take the session from a body, a query or a header."""


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    found = Tokens(tmp_path)
    found.add("alice")
    found.add("bob")
    found.add("root", role="admin")
    return found


@pytest.fixture
def start(start_service: StartService, tokens: Tokens) -> Start:
    async def begin(**variables: str) -> tuple[Client, Context]:
        return await start_service(QCHAT_TOKENS_FILE=str(tokens.path), **variables)

    return begin


async def created(client: Client, headers: dict[str, str]) -> str:
    found = await client.json("POST", f"{API}/sessions", headers=headers, status=201)
    return str(found["session_id"])


async def log_in(client: Client, secret: str, **headers: str) -> tuple[dict[str, str], SimpleCookie]:
    """Headers of the service's own page with the cookie, and the cookie as it was set."""
    async with client.http.post(
        f"{client.url}{API}/login", json={"token": secret}, headers=headers
    ) as response:
        assert response.status == 200, await response.text()
        cookie = SimpleCookie(response.headers["Set-Cookie"])
    client.http.cookie_jar.clear()
    [(name, morsel)] = cookie.items()
    return {"Cookie": f"{name}={morsel.value}", "Origin": client.url}, cookie


# Whose sessions exist


def routes() -> list[tuple[str, str]]:
    app = web.Application()
    add_routes(app)
    return [(r.method, r.resource.canonical) for r in app.router.routes() if r.resource is not None]


async def test_every_route_knows_the_owner(start: Start, tokens: Tokens) -> None:
    """On every route another user's session is answered exactly as one that does not exist."""
    client, ctx = await start()
    session = await created(client, tokens.bearer("alice"))
    (ctx.state.workspace(session) / "x").write_text("hers")
    chat = {"message": "say hers", "session_id": session}
    await client.json("POST", f"{API}/chat", json=chat, headers=tokens.bearer("alice"), status=200)
    for method, route in routes():
        if route in WITHOUT_SESSION:
            continue
        named = "{session_id}" in route or (method, route) in ELSEWHERE
        assert named, f"{method} {route} is new: has it a session, and how does it say which?"
        theirs, none = [
            await ask(client, method, route, session_id, tokens.bearer("bob"))
            for session_id in (session, NOBODY)
        ]
        assert theirs == none, (method, route)
        assert theirs[0] == 404
        assert method == "HEAD" or "SESSION_NOT_FOUND" in theirs[1]
    assert len(ctx.store.turns(session)) == 1
    assert (ctx.state.workspace(session) / "x").read_text() == "hers"


async def ask(
    client: Client, method: str, route: str, session: str, headers: dict[str, str]
) -> tuple[int, str]:
    path = route.format(session_id=session, turn=1, path="x")
    body = {"message": "x", "session_id": session, "messages": [{"role": "user", "content": "x"}]}
    json = body if method in ("POST", "PATCH", "PUT") else None
    headers = {**headers, SESSION_HEADER: session}
    query = "" if "{session_id}" in route else f"?session_id={session}&message=x"
    async with client.http.request(method, client.url + path + query, json=json, headers=headers) as response:
        return response.status, await response.text()


async def test_the_owner_and_admins_see_a_session(start: Start, tokens: Tokens) -> None:
    """A session exists for its principal, by any of its tokens, and for admins."""
    tokens.add("alices-phone", principal="alice")
    client, _ = await start()
    session = await created(client, tokens.bearer("alice"))
    for name, status in {"alice": 200, "alices-phone": 200, "root": 200, "bob": 404}.items():
        headers = tokens.bearer(name)
        found = await client.json("GET", f"{API}/sessions/{session}", headers=headers, status=status)
        assert found.get("owner", "alice") == "alice"
    await client.json("DELETE", f"{API}/sessions/{session}", headers=tokens.bearer("root"), status=200)


async def test_lists_have_ones_own(start: Start, tokens: Tokens) -> None:
    """A list has what exists for who asks, also when it is read page by page."""
    client, _ = await start()
    own: dict[str, list[str]] = {"alice": [], "bob": []}
    for name in ("alice", "bob", "alice", "bob", "alice"):
        own[name].insert(0, await created(client, tokens.bearer(name)))

    async def listed(name: str) -> list[str]:
        found, cursor = [], ""
        while True:
            page = await client.json(
                "GET", f"{API}/sessions?limit=1&before={cursor}", headers=tokens.bearer(name), status=200
            )
            found += [session["session_id"] for session in page["sessions"]]
            if (cursor := page["next"]) is None:
                return found

    assert await listed("alice") == own["alice"]
    assert await listed("bob") == own["bob"]
    assert sorted(await listed("root")) == sorted(own["alice"] + own["bob"])


async def test_directories_taken_over_are_the_admins(start: Start, tokens: Tokens, tmp_path: Path) -> None:
    """What lay on the disk without a row exists for admins only."""
    (tmp_path / "sessions" / NOBODY).mkdir(parents=True)
    client, _ = await start()
    path = f"{API}/sessions/{NOBODY}"
    await client.json("GET", path, headers=tokens.bearer("alice"), status=404)
    await client.json("GET", path, headers=tokens.bearer("root"), status=200)


async def test_request_keys_of_two_principals_never_meet(start: Start, tokens: Tokens) -> None:
    """A request key without a session names a turn for each principal, whichever of its tokens it uses."""
    tokens.add("alices-phone", principal="alice")
    client, _ = await start()

    async def chat(name: str) -> str:
        headers = {**tokens.bearer(name), "Idempotency-Key": "same"}
        found = await client.json(
            "POST", f"{API}/chat", json={"message": "say hi"}, headers=headers, status=200
        )
        return str(found["session_id"])

    alice, bob, phone = await chat("alice"), await chat("bob"), await chat("alices-phone")
    assert alice == phone != bob


# Tokens


async def test_wrong_tokens(start: Start, tokens: Tokens) -> None:
    """Whoever has no token, a wrong or an expired one is told to bring one, and how."""
    tokens.add("old", expires=-1)
    client, _ = await start()
    good = tokens.secrets["alice"]
    wrong = ["", "Bearer", "Bearer ", f"Bearer {good}x", f"Bearer {good[:-1]}", f"Basic {good}", good]
    for header in [*wrong, f"Bearer {tokens.secrets['old']}", "Bearer é\u4e2d"]:
        headers = {"Authorization": header} if header else {}
        async with client.http.get(f"{client.url}{API}/sessions", headers=headers) as response:
            found = await response.json()
            assert (response.status, found["code"]) == (401, "UNAUTHORIZED"), header
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="qchat"'
    for header in (f"Bearer {good}", f"bearer  {good} "):
        await client.json("GET", f"{API}/sessions", headers={"Authorization": header}, status=200)


async def test_tokens_in_an_address_do_not_count(start: Start, tokens: Tokens) -> None:
    """A token in the query, where logs keep it, lets nobody in."""
    client, _ = await start()
    for name in ("token", "access_token"):
        query = f"{name}={tokens.secrets['root']}"
        await client.json("GET", f"{API}/sessions?{query}", status=401)


async def test_the_file_is_read_again(start: Start, tokens: Tokens) -> None:
    """Tokens that are added, revoked or given a new role count at once, without a restart."""
    client, _ = await start()
    new = tokens.add("carol")
    session = await created(client, bearer(new))
    tokens.revoke("carol")
    await client.json("GET", f"{API}/sessions/{session}", headers=bearer(new), status=401)
    again = tokens.add("carol")
    await client.json("GET", f"{API}/sessions/{session}", headers=bearer(again), status=200)


@pytest.mark.parametrize("harm", ["missing", "malformed", "unknown field", "writable", "directory"])
async def test_a_file_that_is_wrong_lets_nobody_in(start: Start, tokens: Tokens, harm: str) -> None:
    """While the tokens file is not as it must be nobody gets in; when it is mended it counts again."""
    client, _ = await start()
    right = tokens.path.read_text()
    path = f"{API}/sessions"
    cookie, _ = await log_in(client, tokens.secrets["root"])
    match harm:
        case "missing":
            tokens.path.unlink()
        case "malformed":
            tokens.path.write_text(right[:-5])
        case "unknown field":
            tokens.path.write_text(right.replace('"expires"', '"expire"', 1))
        case "writable":
            tokens.path.chmod(0o622)
        case "directory":
            tokens.path.unlink()
            tokens.path.mkdir()
    await client.json("GET", path, headers=tokens.bearer("alice"), status=401)
    await client.json("GET", path, headers=cookie, status=401)
    if harm == "directory":
        tokens.path.rmdir()
    tokens.path.write_text(right)
    tokens.path.chmod(0o600)
    await client.json("GET", path, headers=tokens.bearer("alice"), status=200)
    await client.json("GET", path, headers=cookie, status=200)


@pytest.mark.parametrize("text", ["", "{}", '{"tokens": [{}]}', None])
async def test_a_file_that_is_wrong_does_not_start(tmp_path: Path, text: str | None) -> None:
    """A service whose tokens file is missing or malformed does not start."""
    path = tmp_path / "tokens.json"
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    settings = Settings.from_env(environment(tmp_path / "sessions", QCHAT_TOKENS_FILE=str(path)))
    with pytest.raises(TokensError, match=r"tokens\.json"):
        create_app(settings)


async def test_an_open_address_needs_a_token_that_is_good(tmp_path: Path) -> None:
    """Beyond loopback a file without a valid token is as good as none: the service does not start."""
    tokens = Tokens(tmp_path)
    tokens.add("old", expires=-1)
    env = environment(tmp_path / "sessions", HOST="0.0.0.0", QCHAT_TOKENS_FILE=str(tokens.path))
    with pytest.raises(TokensError, match="qchat-admin token add"):
        create_app(Settings.from_env(env))


async def test_the_operators_token(start_service: StartService) -> None:
    """QCHAT_TOKEN alone makes its holder the operator, whose sessions are those of before."""
    secret = "operator-token-of-this-test"
    client, _ = await start_service(QCHAT_TOKEN=secret)
    await client.json("GET", f"{API}/sessions", status=401)
    session = await created(client, bearer(secret))
    found = await client.json("GET", f"{API}/sessions/{session}", headers=bearer(secret), status=200)
    assert found["owner"] == ""
    cookie, _ = await log_in(client, secret)
    found = await client.json("GET", f"{API}/login", headers=cookie, status=200)
    assert (found["principal"], found["role"], found["via"]) == ("", "admin", "cookie")


async def test_without_access_control(client: Client) -> None:
    """Without tokens everybody is the operator, whatever tokens a client sends, and there is no login."""
    session = await created(client, bearer("whatever"))
    await client.json("GET", f"{API}/sessions/{session}", status=200)
    assert (await client.json("GET", f"{API}/login", status=200))["via"] == "local"
    await client.json("POST", f"{API}/login", json={"token": "x"}, status=400)


async def test_health_tells_strangers_nothing(start: Start, tokens: Tokens) -> None:
    """Without a token health is a word; with one it is what it was, and a wrong one is refused."""
    client, _ = await start()
    found = await client.json("GET", "/health", status=200)
    assert set(found) == {"status", "timestamp"}
    found = await client.json("GET", "/health", headers=tokens.bearer("alice"), status=200)
    assert {"active_sessions", "version", "qcli_available"} <= set(found)
    await client.json("GET", "/health", headers=bearer("wrong"), status=401)


# Logins


async def test_the_cookie(start: Start, tokens: Tokens) -> None:
    """A login's cookie is for no script, no other site and the whole service, and outlives the browser."""
    client, _ = await start(QCHAT_TRUSTED_PROXIES="127.0.0.1", QCHAT_ALLOWED_HOSTS="chat.example")
    headers, cookie = await log_in(client, tokens.secrets["alice"])
    [(name, morsel)] = cookie.items()
    assert name.startswith("qchat-")
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
    assert (morsel["secure"], morsel["domain"]) == ("", "")
    assert 29 * 86400 < int(morsel["max-age"]) <= 30 * 86400
    assert tokens.secrets["alice"] not in morsel.value
    found = await client.json("GET", f"{API}/login", headers=headers, status=200)
    assert (found["principal"], found["role"], found["via"]) == ("alice", "user", "cookie")
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example"}
    _, cookie = await log_in(client, tokens.secrets["alice"], **https, Origin="https://chat.example")
    [(name, morsel)] = cookie.items()
    assert name.startswith("__Host-qchat-")
    assert morsel["secure"] is True


async def test_a_login_acts_for_its_own_page_only(start: Start, tokens: Tokens) -> None:
    """A cookie reads without a word on where from, and acts only when the browser names the own page."""
    client, _ = await start()
    headers, _ = await log_in(client, tokens.secrets["alice"])
    own, cookie = headers, {"Cookie": headers["Cookie"]}
    await client.json("GET", f"{API}/sessions", headers=cookie, status=200)
    await client.json("POST", f"{API}/sessions", headers=cookie, status=403)
    session = await created(client, own)
    await created(client, {**cookie, "Sec-Fetch-Site": "same-origin"})
    query = f"session_id={session}&message=x"
    await client.json("GET", f"{API}/chat/stream?{query}", headers=cookie, status=403)


@pytest.mark.parametrize("way", ["logout", "everywhere", "revoke", "rotate", "expiry"])
async def test_a_login_ends(start: Start, tokens: Tokens, way: str) -> None:
    """A login is over at once when it is ended or its token is; others go on where they should."""
    client, _ = await start()
    alice, _ = await log_in(client, tokens.secrets["alice"])
    phone, _ = await log_in(client, tokens.secrets["alice"])
    bob, _ = await log_in(client, tokens.secrets["bob"])
    match way:
        case "logout" | "everywhere":
            url = f"{client.url}{API}/logout?everywhere={int(way == 'everywhere')}"
            async with client.http.post(url, headers=alice) as response:
                assert response.status == 204
                assert "Max-Age=0" in response.headers["Set-Cookie"]
        case "revoke":
            tokens.revoke("alice")
        case "rotate":
            tokens.revoke("alice")
            tokens.add("alice")
        case "expiry":
            tokens.revoke("alice")
            tokens.add("alice", expires=0.5)
            alice, cookie = await log_in(client, tokens.secrets["alice"])
            assert int(next(iter(cookie.values()))["max-age"]) == 1
            await asyncio.sleep(0.5)
    await client.json("GET", f"{API}/login", headers=alice, status=401)
    await client.json("GET", f"{API}/login", headers=phone, status=200 if way == "logout" else 401)
    await client.json("GET", f"{API}/login", headers=bob, status=200)


async def test_streams_end_with_their_token(start: Start, tokens: Tokens) -> None:
    """A stream that is open when its token is revoked ends before it sends another byte."""
    client, _ = await start()
    headers = tokens.bearer("alice")
    session = await created(client, headers)
    async with client.http.get(f"{client.url}{API}/sessions/{session}/events", headers=headers) as response:
        assert response.status == 200
        tokens.revoke("alice")
        chat = {"message": "say secret", "session_id": session}
        await client.json("POST", f"{API}/chat", json=chat, headers=tokens.bearer("root"), status=200)
        assert await response.text() == ""


async def test_the_link_of_the_start(tokens: Tokens, tmp_path: Path) -> None:
    """The link that the server prints logs one browser in as the operator, and that lasts over a restart."""
    variables = {"QCHAT_TOKENS_FILE": str(tokens.path), "PORT": "0"}
    env = environment(tmp_path / "sessions", **variables)
    async with aiohttp.ClientSession() as http:
        async with server(env, tmp_path / "log") as running:
            address, _, secret = running.lines[1].split()[-1].partition("/#login=")
            client = Client(http, running.url)
            assert address == running.url
            cookie, _ = await log_in(client, secret)
            await client.json("POST", f"{API}/login", json={"token": secret}, status=401)
            found = await client.json("GET", f"{API}/login", headers=cookie, status=200)
            assert (found["principal"], found["role"]) == ("", "admin")
            bob, _ = await log_in(client, tokens.secrets["bob"])
        async with server(env, tmp_path / "log") as running:
            client = Client(http, running.url)
            for one in (cookie, bob):
                await client.json("GET", f"{API}/login", headers={"Cookie": one["Cookie"]}, status=200)
            await client.json("POST", f"{API}/login", json={"token": secret}, status=401)
    said = (tmp_path / "log").read_text()
    assert secret not in said


# Limits


async def test_failed_logins_are_limited(start: Start, tokens: Tokens) -> None:
    """Who guesses has to wait, also with a right token; who was in before at that address goes on."""
    client, _ = await start(QCHAT_LOGIN_FAILURES="3", QCHAT_TRUSTED_PROXIES="127.0.0.1")

    async def get(headers: dict[str, str], status: int, address: str = "192.0.2.7") -> Any:
        headers = {**headers, "X-Forwarded-For": address}
        async with client.http.get(f"{client.url}{API}/sessions", headers=headers) as response:
            assert response.status == status
            return response.headers.get("Retry-After")

    bob, _ = await log_in(client, tokens.secrets["bob"])
    await get(tokens.bearer("alice"), 200)
    for _ in range(3):
        await get(bearer("guess"), 401)
    assert 1 <= int(await get(bearer("guess"), 429)) <= 20
    await get(tokens.bearer("root"), 429)
    body = {"token": tokens.secrets["root"]}
    here = {"X-Forwarded-For": "192.0.2.7"}
    await client.json("POST", f"{API}/login", json=body, headers=here, status=429)
    await get(tokens.bearer("alice"), 200)
    await get(bob, 200)
    await get({}, 401)  # says nothing, so it guesses nothing
    await get(tokens.bearer("root"), 200, "192.0.2.8")
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"):
        await get(bearer("guess"), 401, address)
    await get(tokens.bearer("root"), 429, "2001:db8::4")
    await get(tokens.bearer("root"), 200, "2001:db8:0:1::1")


async def test_new_sessions_are_limited(start: Start, tokens: Tokens) -> None:
    """A principal creates so many sessions a minute, by whatever route and token; others are free."""
    tokens.add("alices-phone", principal="alice")
    client, ctx = await start(QCHAT_SESSION_RATE="2")
    first = await created(client, tokens.bearer("alice"))
    await client.json(
        "POST", f"{API}/chat", json={"message": "say x"}, headers=tokens.bearer("alices-phone"), status=200
    )
    url = f"{client.url}{API}/sessions"
    async with client.http.post(url, headers=tokens.bearer("alice")) as response:
        assert (response.status, (await response.json())["code"]) == (429, "TOO_MANY_REQUESTS")
        assert 1 <= int(response.headers["Retry-After"]) <= 30
    body = {"message": "say x"}
    await client.json("POST", f"{API}/chat", json=body, headers=tokens.bearer("alice"), status=429)
    there = {"message": "say x", "session_id": first}
    await client.json("POST", f"{API}/chat", json=there, headers=tokens.bearer("alice"), status=200)
    await created(client, tokens.bearer("bob"))
    assert ctx.store.count_sessions() == 3


# Proxies


async def test_forwarded_headers_of_strangers(start: Start, tokens: Tokens) -> None:
    """What X-Forwarded headers say counts for nothing when no trusted proxy sends them."""
    client, ctx = await start()
    said = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}
    headers = {**tokens.bearer("alice"), **said}
    await client.json("GET", f"{API}/sessions", headers=headers, status=200)
    await client.json("GET", f"{API}/sessions", headers={**headers, "Origin": client.url}, status=200)
    other = {**headers, "Origin": client.url.replace("http:", "https:")}
    await client.json("GET", f"{API}/sessions", headers=other, status=403)
    await created(client, headers)
    assert '"client": "127.0.0.1"' in (ctx.state.private / "audit.log").read_text()


@pytest.mark.parametrize(
    ("chain", "client_address"),
    [
        (["198.51.100.9"], "198.51.100.9"),
        (["6.6.6.6, 198.51.100.9"], "198.51.100.9"),
        (["6.6.6.6, 198.51.100.9, 10.1.2.3"], "198.51.100.9"),
        (["6.6.6.6", "198.51.100.9"], "198.51.100.9"),
        (["6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["198.51.100.9:4711"], "198.51.100.9"),
        ([], "127.0.0.1"),
    ],
)
async def test_the_client_behind_proxies(
    start: Start, tokens: Tokens, chain: list[str], client_address: str
) -> None:
    """The client is the right-most hop that is no trusted proxy, whatever it wrote to the left of itself."""
    client, ctx = await start(QCHAT_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    headers = [*tokens.bearer("alice").items(), *(("X-Forwarded-For", hop) for hop in chain)]
    async with client.http.post(f"{client.url}{API}/sessions", headers=headers) as response:
        assert response.status == 201
    assert f'"client": "{client_address}"' in (ctx.state.private / "audit.log").read_text()


async def test_a_proxy_with_tls(start: Start, tokens: Tokens) -> None:
    """Behind a trusted proxy the page's own origin is the one that the browser shows; names are listed."""
    client, _ = await start(QCHAT_TRUSTED_PROXIES="127.0.0.1", QCHAT_ALLOWED_HOSTS="chat.example")
    headers = {
        **tokens.bearer("alice"),
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "chat.example",
    }
    own = {**headers, "Origin": "https://chat.example", "Sec-Fetch-Site": "same-origin"}
    await client.json("GET", f"{API}/sessions", headers=own, status=200)
    port = {**own, "X-Forwarded-Host": "chat.example:443"}
    await client.json("GET", f"{API}/sessions", headers=port, status=200)
    for wrong in ({"Origin": "http://chat.example"}, {"X-Forwarded-Host": "evil.example"}):
        await client.json("GET", f"{API}/sessions", headers={**own, **wrong}, status=403)


async def test_users_of_an_authenticating_proxy(start_service: StartService) -> None:
    """A trusted proxy names the user, who sees their own sessions; without a name nobody gets in."""
    proxy = {"QCHAT_TRUSTED_PROXIES": "127.0.0.1", "QCHAT_USER_HEADER": "X-Forwarded-User"}
    client, ctx = await start_service(**proxy)
    ann = {"X-Forwarded-User": "ann@example.org", "Sec-Fetch-Site": "same-origin"}
    bob = {**ann, "X-Forwarded-User": "王"}
    session = await created(client, ann)
    await client.json("GET", f"{API}/sessions/{session}", headers=ann, status=200)
    await client.json("GET", f"{API}/sessions/{session}", headers=bob, status=404)
    assert (await client.json("GET", f"{API}/login", headers=bob, status=200))["principal"] == "王"
    assert ctx.store.session(session).owner == "ann@example.org"
    for wrong in ("", " ", "x" * 201):
        await client.json("GET", f"{API}/sessions", headers={"X-Forwarded-User": wrong}, status=401)
    twice = [("X-Forwarded-User", "ann@example.org"), ("X-Forwarded-User", "root")]
    async with client.http.get(f"{client.url}{API}/sessions", headers=twice) as response:
        assert response.status == 401
    unsaid = {"X-Forwarded-User": "ann@example.org"}
    await client.json("POST", f"{API}/sessions", headers=unsaid, status=403)


async def test_bearers_that_a_proxy_passes_on(start: Start, tokens: Tokens) -> None:
    """A token goes before the user whom a proxy names; another bearer is the proxy's and excuses nothing."""
    client, _ = await start(
        QCHAT_TRUSTED_PROXIES="127.0.0.1",
        QCHAT_USER_HEADER="X-Forwarded-User",
        QCHAT_ALLOWED_ORIGINS="https://portal.example",
    )
    ann = {"X-Forwarded-User": "ann"}
    session = await created(client, ann | tokens.bearer("alice"))
    await client.json(
        "GET", f"{API}/sessions/{session}", headers={**ann, **tokens.bearer("root")}, status=200
    )
    await client.json("GET", f"{API}/sessions/{session}", headers=ann, status=404)
    await client.json("GET", f"{API}/sessions", headers=ann | bearer("qchat_wrong"), status=401)
    ann |= bearer("an-id-token-of-the-proxy")
    await client.json("GET", f"{API}/sessions", headers=ann, status=200)
    await client.json("POST", f"{API}/sessions", headers=ann, status=403)
    await created(client, {**ann, "Origin": client.url})
    portal = {**ann, "Origin": "https://portal.example"}
    await client.json("GET", f"{API}/sessions", headers=portal, status=401)


async def test_users_that_nobody_vouches_for(start: Start) -> None:
    """The header with the user counts for nothing when it does not come from a trusted proxy."""
    client, _ = await start(QCHAT_TRUSTED_PROXIES="192.0.2.1", QCHAT_USER_HEADER="X-Forwarded-User")
    await client.json("GET", f"{API}/sessions", headers={"X-Forwarded-User": "alice"}, status=401)


def test_the_file_is_private(tokens: Tokens) -> None:
    """The tokens file is its owner's alone and holds no token."""
    assert tokens.path.stat().st_mode & 0o777 == 0o600
    text = tokens.path.read_text()
    assert not [secret for secret in tokens.secrets.values() if secret in text]
    assert os.listdir(tokens.directory) == [tokens.path.name]
