"""Who may call: the matrix of Host, Origin, Sec-Fetch-Site, content type and credential, over every route."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import frozen

from qchat.context import Context
from qchat.settings import Settings, SettingsError
from qchat.web.routes import add_routes
from tests.conftest import StartService
from tests.harness import ROUNDS, Client, until
from tests.tokens import Tokens, bearer
from tests.web.places import connection

PROBES = {"/livez", "/readyz"}
PAGE = {"/", "/ui/{name}"}
WITHOUT_LOGIN = {"/health", "/api/v1/logout"}  # and POST /api/v1/login
LISTED = "https://portal.example"
CANARY = "the-canary-of-this-session"
HOSTS = ("own", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "")
ORIGINS = (None, "own", LISTED, "https://evil.example", "null", "http://127.0.0.1:1")
SITES = (None, "same-origin", "same-site", "cross-site", "none")
KINDS = ("application/json", "text/plain", "application/x-www-form-urlencoded")
CREDENTIALS = ("none", "wrong", "expired", "bearer", "cookie", "wrong cookie")
SAMPLE = 120 * ROUNDS
"""Cells of each route that are tried; the soak tries nearly all."""
NOBODY = "550e8400-e29b-41d4-a716-446655440000"


@frozen
class Cell:
    host: str
    origin: str | None
    site: str | None
    kind: str
    credential: str


def routes() -> list[tuple[str, str]]:
    app = web.Application()
    add_routes(app)
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        found.append((route.method, route.resource.canonical))
    return found


def cells(seed: str) -> list[Cell]:
    """Some of all, always the same; most of them are right about host and content type, and get further."""
    every = [Cell(*values) for values in itertools.product(HOSTS, ORIGINS, SITES, KINDS, CREDENTIALS)]
    random.Random(seed).shuffle(every)
    core = [cell for cell in every if cell.host == "own" and cell.kind == KINDS[0]][: SAMPLE * 3 // 4]
    rest = [cell for cell in every if cell.host != "own" or cell.kind != KINDS[0]][: SAMPLE - len(core)]
    return core + rest


def admits(cell: Cell, method: str, route: str) -> bool:
    """What the documentation promises, written down a second time."""
    if route in PROBES or (route in PAGE and cell.host == "own"):
        return True
    acting = method not in ("GET", "HEAD") or route == "/api/v1/chat/stream"
    if cell.origin == LISTED:
        page = True
    elif cell.origin in (None, "own"):
        page = cell.site in (None, "same-origin") or (cell.site == "none" and not acting)
    else:
        page = False
    if not page or cell.host != "own" or cell.credential in ("wrong", "expired"):
        return False
    if cell.credential == "bearer":
        return True
    own = cell.origin == "own" or (cell.origin is None and cell.site == "same-origin")
    if cell.credential == "cookie" and cell.origin != LISTED:
        return own or not acting
    return route in WITHOUT_LOGIN or (method, route) == ("POST", "/api/v1/login")


class Walk:
    """A service with something in it to lose, and requests to it."""

    def __init__(self, client: Client, ctx: Context, tokens: Tokens) -> None:
        self.client, self.ctx, self.tokens = client, ctx, tokens

    async def prepare(self) -> None:
        headers = self.tokens.bearer("alice")
        body = {"message": f"say {CANARY}"}
        chat = await self.client.json("POST", "/api/v1/chat", json=body, headers=headers, status=200)
        self.session: str = chat["session_id"]
        (self.ctx.state.workspace(self.session) / "x").write_text(CANARY)
        await self.log_in()

    async def log_in(self) -> None:
        body = {"token": self.tokens.secrets["alice"]}
        async with self.client.http.post(f"{self.client.url}/api/v1/login", json=body) as response:
            assert response.status == 200
            self.cookie = response.headers["Set-Cookie"].partition(";")[0]
        self.client.http.cookie_jar.clear()

    def headers(self, cell: Cell) -> dict[str, str]:
        found = {"Host": self.client.url.removeprefix("http://") if cell.host == "own" else cell.host}
        if cell.origin:
            found["Origin"] = self.client.url if cell.origin == "own" else cell.origin
        if cell.site:
            found["Sec-Fetch-Site"] = cell.site
        match cell.credential:
            case "cookie":
                found["Cookie"] = self.cookie
            case "wrong cookie":
                found["Cookie"] = f"{self.cookie}x"
            case "wrong":
                found |= bearer(f"{self.tokens.secrets['alice']}x")
            case "bearer" | "expired":
                found |= self.tokens.bearer({"bearer": "alice"}.get(cell.credential, "old"))
        return found

    async def ask(self, cell: Cell, method: str, route: str) -> tuple[int, str]:
        """Forbidden requests try the real session, allowed ones a session that is not there."""
        allowed = admits(cell, method, route)
        session = NOBODY if allowed else self.session
        path = route.format(session_id=session, turn=1, name="x.js", path="x", model="x")
        url = f"{self.client.url}{path}?session_id={session}&message=x"
        data, headers = None, self.headers(cell)
        if method in ("POST", "PATCH", "PUT"):
            data, headers["Content-Type"] = json.dumps({"message": "x", "session_id": session}), cell.kind
        async with self.client.http.request(
            method, url, headers=headers, data=data, skip_auto_headers=("Content-Type",)
        ) as response:
            return response.status, await response.text()

    def state(self) -> tuple[Any, ...]:
        """What a request that is refused must leave as it is."""
        workspace = self.ctx.state.workspace(self.session)
        files = sorted(path.name for path in workspace.iterdir())
        return self.ctx.store.session(self.session), self.ctx.store.turns(self.session), files


@pytest.fixture
async def walk(start_service: StartService, tmp_path: Path) -> Walk:
    tokens = Tokens(tmp_path)
    tokens.add("alice")
    tokens.add("old", principal="alice", expires=-1)
    client, ctx = await start_service(
        QCHAT_TOKENS_FILE=str(tokens.path),
        QCHAT_ALLOWED_ORIGINS=LISTED,
        QCHAT_LOGIN_FAILURES="1000000",
        QCHAT_SESSION_RATE="1000000",
    )
    found = Walk(client, ctx, tokens)
    await found.prepare()
    return found


@pytest.mark.parametrize(("method", "route"), routes())
async def test_matrix(walk: Walk, method: str, route: str) -> None:
    """Every route refuses every request from another page, under another name or of somebody unknown."""
    before = walk.state()
    sessions = walk.ctx.store.count_sessions()
    for cell in cells(f"{method} {route}"):
        status, text = await walk.ask(cell, method, route)
        assert status < 500
        assert (status not in (401, 403)) == admits(cell, method, route), (cell, status, text)
        assert CANARY not in text, cell
        assert walk.state() == before, cell
        if (method, route) == ("POST", "/api/v1/sessions"):
            sessions += status == 201
        assert walk.ctx.store.count_sessions() == sessions, cell
        if route == "/api/v1/logout" and cell.credential == "cookie":
            await walk.log_in()
    await until(lambda: walk.ctx.turns.running == 0)  # the first turn is put away after it was answered


@pytest.mark.parametrize("kind", [*KINDS[1:], "multipart/form-data; boundary=x", ""])
async def test_simple_requests_do_not_act(walk: Walk, kind: str) -> None:
    """A body that any form could send is refused by every route that takes JSON, whoever sends it."""
    before = walk.state()
    for method, route in routes():
        if method not in ("POST", "PATCH") or route.endswith(("/files", "/sessions", "/cancel", "/logout")):
            continue
        cell = Cell("own", "own", "same-origin", kind, "bearer")
        path = route.format(session_id=walk.session)
        headers = {**walk.headers(cell), "Content-Type": kind}
        body = json.dumps({"message": "x", "session_id": walk.session, "title": "x", "token": "x"}).encode()
        await walk.client.json(method, path, data=body, headers=headers, status=415)
    assert walk.state() == before


async def test_typed_addresses_do_not_act(client: Client) -> None:
    """A link that is followed from outside the browser may read, but runs no prompt."""
    session = await client.session()
    headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    await client.json("GET", f"/api/v1/sessions/{session}", headers=headers, status=200)
    url = f"/api/v1/chat/stream?session_id={session}&message=x"
    await client.json("GET", url, headers=headers, status=403)
    assert (await client.json("GET", f"/api/v1/sessions/{session}/turns"))["turns"] == []


async def test_without_tokens_the_pages_are_checked_all_the_same(client: Client) -> None:
    """On loopback without tokens another page, site or name is refused on every route."""
    wrong = (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    )
    for (method, route), headers in itertools.product(routes(), wrong):
        path = route.format(session_id=NOBODY, turn=1, name="x.js", path="x", model="x")
        async with client.http.request(method, client.url + path, headers=headers) as response:
            is_open = route in PROBES or (route in PAGE and "Host" not in headers)
            assert (response.status != 403) == is_open, (method, route, headers)


@pytest.mark.parametrize(
    "host",
    [
        *("evil@127.0.0.1", "127.0.0.1/evil", "localhost?evil", "localhost#evil", "localhost\\evil"),
        *("localhost.", "localhost:evil", "localhost:123456", "[::1]evil", "[::1", "[localhost]", "[::]"),
        *("127.0.0.1, evil", "127.0.0.1 evil", "\uff4cocalhost", "[0:0:0:0:0:0:0:1]", "[::1%25lo]"),
        *("127.1", "2130706433", ":80", ""),
    ],
)
async def test_hosts_are_exact(client: Client, host: str) -> None:
    """A Host that somebody could read as another name is refused."""
    await client.json("GET", "/health", headers={"Host": host}, status=403)


@pytest.mark.parametrize("host", ["127.0.0.1", "LocalHost:8080", "localhost:", "[::1]", "[::1]:1"])
async def test_hosts_that_are_served(client: Client, host: str) -> None:
    """The port, which a tunnel may change, and the case do not matter."""
    await client.json("GET", "/health", headers={"Host": host}, status=200)


async def test_headers_that_disagree(client: Client) -> None:
    """A header that decides who may call is refused when it comes twice, in whichever order."""
    for name, good, bad in (
        ("Origin", client.url, "https://evil.example"),
        ("Sec-Fetch-Site", "same-origin", "cross-site"),
        ("Authorization", "Bearer good", "Bearer bad"),
    ):
        for headers in ([(name, good), (name, bad)], [(name, bad), (name, good)], [(name, good)] * 2):
            async with client.http.get(f"{client.url}/health", headers=headers) as response:
                assert response.status == 403, headers


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://127.0.0.1/health", "127.0.0.1", 200),
        ("http://evil.example/health", "127.0.0.1", 403),
        ("http://127.0.0.1.evil/health", "127.0.0.1", 403),
        ("https://127.0.0.1/health", "127.0.0.1", 403),
        ("http://127.0.0.1/health", "evil.example", 403),
        ("//evil.example/health", "127.0.0.1", 404),
    ],
)
async def test_targets_with_a_host(client: Client, target: str, host: str, status: int) -> None:
    """A request target with a host of its own has to agree with the header."""
    async with connection(client) as (reader, writer):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert int((await reader.readline()).split()[1]) == status


async def test_listed_names_may_call(start_service: StartService) -> None:
    """Hosts and origins that the operator lists are served, exactly those."""
    client, _ = await start_service(QCHAT_ALLOWED_HOSTS="chat.example", QCHAT_ALLOWED_ORIGINS=LISTED)
    await client.json("GET", "/health", headers={"Host": "chat.example"}, status=200)
    await client.json("GET", "/health", headers={"Host": "chat.example:8443"}, status=200)
    await client.json("GET", "/health", headers={"Host": "xchat.example"}, status=403)
    portal = {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"}
    await client.json("GET", "/health", headers=portal, status=200)
    for origin in (f"{LISTED}.evil", "http://portal.example", f"{LISTED}:444", "https://portal.exampl"):
        await client.json("GET", "/health", headers={"Origin": origin}, status=403)


async def test_cross_origin_headers(walk: Walk) -> None:
    """A listed origin may read what it calls, and never with credentials that browsers add; nobody else."""
    url = f"{walk.client.url}/api/v1/sessions/{walk.session}"
    asks = {
        "Origin": LISTED,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,x-other,x-stainless-lang",
    }
    async with walk.client.http.options(url, headers=asks) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == LISTED
        assert "PUT" in response.headers["Access-Control-Allow-Methods"]
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "x-stainless-lang"} <= set(allowed)  # what OpenAI's client sends in a page
        assert "x-other" not in allowed
        assert "Access-Control-Allow-Credentials" not in response.headers
    listed = {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"}
    async with walk.client.http.get(url, headers={**listed, **walk.tokens.bearer("alice")}) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == LISTED
        assert "Origin" in response.headers["Vary"]
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]
    async with walk.client.http.get(url, headers={**listed, "Cookie": walk.cookie}) as response:
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == LISTED  # so that the page can tell why
    for other in ({}, {"Origin": walk.client.url}, {"Origin": "https://evil.example"}):
        async with walk.client.http.options(url, headers={**asks, "Origin": "", **other}) as response:
            assert response.status in (401, 403, 405)
            assert not [name for name in response.headers if name.startswith("Access-Control-")]


async def test_nothing_may_be_embedded_elsewhere(walk: Walk) -> None:
    """What is read says that no other site may load it, and that its type is what it says."""
    headers = walk.tokens.bearer("alice")
    for path in ("", "/turns/1/output", "/files/x", "/messages"):
        url = f"{walk.client.url}/api/v1/sessions/{walk.session}{path}"
        async with walk.client.http.get(url, headers=headers) as response:
            assert response.status == 200
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "*"])
def test_no_open_door(host: str) -> None:
    """An address beyond loopback is refused without access control, and needs the sandbox with it."""
    with pytest.raises(SettingsError, match="HOST"):
        Settings.from_env({"HOST": host})
    with pytest.raises(SettingsError, match="HOST"):
        Settings.from_env({"HOST": host, "QCHAT_TRUSTED_PROXIES": "10.0.0.1"})
    for way in ({"QCHAT_TOKEN": "x" * 32}, {"QCHAT_TOKENS_FILE": "tokens.json"}):
        settings = Settings.from_env({"HOST": host, **way})
        assert settings.sandbox == "required"
        assert Settings.from_env({"HOST": host, "QCHAT_SANDBOX": "auto", **way}).sandbox == "auto"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """Loopback addresses are allowed without access control, and take the sandbox that there is."""
    settings = Settings.from_env({"HOST": host})
    assert (settings.host, settings.sandbox, settings.access_control) == (host, "auto", False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QCHAT_ALLOWED_HOSTS", "*"),
        ("QCHAT_ALLOWED_HOSTS", "*.example.org"),
        ("QCHAT_ALLOWED_HOSTS", "chat.example:8080"),
        ("QCHAT_ALLOWED_HOSTS", "https://chat.example"),
        ("QCHAT_ALLOWED_ORIGINS", "*"),
        ("QCHAT_ALLOWED_ORIGINS", "null"),
        ("QCHAT_ALLOWED_ORIGINS", "portal.example"),
        ("QCHAT_ALLOWED_ORIGINS", "https://portal.example/"),
        ("QCHAT_ALLOWED_ORIGINS", "https://*.example"),
        ("QCHAT_TRUSTED_PROXIES", "proxy.example"),
        ("QCHAT_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("QCHAT_TRUSTED_PROXIES", "*"),
        ("QCHAT_USER_HEADER", "X-User: x"),
        ("QCHAT_USER_HEADER", "X-Forwarded-User"),  # without a proxy that is trusted
        ("QCHAT_TOKEN", "short"),
        ("QCHAT_LOGIN_FAILURES", "0"),
    ],
)
def test_lists_take_exact_names(name: str, value: str) -> None:
    """Wildcards and what is no name, origin or address are refused, and a token is not shown."""
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.from_env({name: value})
    assert (value in str(caught.value)) == (name != "QCHAT_TOKEN")


async def test_a_wildcard_address_serves_the_address_that_is_called(
    start_service: StartService, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """With a wildcard HOST the address that a connection came to is a good name, the wildcard is none."""
    tokens = Tokens(tmp_path)
    tokens.add("alice")
    client, _ = await start_service(HOST="0.0.0.0", QCHAT_SANDBOX="off", QCHAT_TOKENS_FILE=str(tokens.path))
    for host, status in {"127.0.0.1": 200, "0.0.0.0": 403, "127.0.0.2": 403, "[::]": 403}.items():
        headers = {"Host": host, **tokens.bearer("alice")}
        await client.json("GET", "/api/v1/sessions", headers=headers, status=status)
