"""Who may call: the matrix of Host, Origin, Sec-Fetch-Site and method, over every route."""

import itertools
import json

import pytest
from aiohttp import web

from qchat.settings import Settings, SettingsError
from qchat.web.routes import add_routes
from tests.conftest import StartService
from tests.harness import Client

OPEN = {"/", "/ui/{name}", "/livez", "/readyz"}
HOSTS = {
    "own": True,
    "evil.example": False,
    "evil.example:8080": False,
    "127.0.0.1.evil.example": False,
    "": False,
}
ORIGINS = {None: True, "own": True, "https://evil.example": False, "null": False, "http://127.0.0.1:1": False}
SITES = {None: True, "same-origin": True, "same-site": False, "cross-site": False}
NOBODY = "550e8400-e29b-41d4-a716-446655440000"


def routes() -> list[tuple[str, str]]:
    app = web.Application()
    add_routes(app)
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        found.append((route.method, route.resource.canonical))
    return found


@pytest.mark.parametrize(("method", "route"), routes())
async def test_matrix(client: Client, method: str, route: str) -> None:
    """Every route refuses every request that names another host, origin or site, and runs nothing."""
    path = route.format(session_id=NOBODY, turn=1, name="x.js", path="x")
    url = f"{client.url}{path}?session_id={NOBODY}&message=x"
    own = client.url.removeprefix("http://")
    for host, origin, site in itertools.product(HOSTS, ORIGINS, SITES):
        headers = {"Host": own if host == "own" else host}
        if origin:
            headers["Origin"] = client.url if origin == "own" else origin
        if site:
            headers["Sec-Fetch-Site"] = site
        data = json.dumps({"message": "x"}) if method in ("POST", "PATCH", "PUT") else None
        if data:
            headers["Content-Type"] = "application/json"
        async with client.http.request(method, url, headers=headers, data=data) as response:
            text = await response.text()
            allowed = HOSTS[host] and (route in OPEN or (ORIGINS[origin] and SITES[site]))
            if route in ("/livez", "/readyz"):
                allowed = True
            assert (response.status != 403) == allowed, (headers, response.status, text)
            assert response.status < 500


async def test_typed_addresses_do_not_act(client: Client) -> None:
    """A link that is followed from outside the browser may read, but runs no prompt."""
    session = await client.session()
    headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    await client.json("GET", f"/api/v1/sessions/{session}", headers=headers, status=200)
    url = f"/api/v1/chat/stream?session_id={session}&message=x"
    await client.json("GET", url, headers=headers, status=403)
    assert (await client.json("GET", f"/api/v1/sessions/{session}/turns"))["turns"] == []


async def test_listed_names_may_call(start_service: StartService) -> None:
    """Hosts and origins that the operator lists are served, exactly those."""
    client, _ = await start_service(
        QCHAT_ALLOWED_HOSTS="chat.example", QCHAT_ALLOWED_ORIGINS="https://portal.example"
    )
    await client.json("GET", "/health", headers={"Host": "chat.example"}, status=200)
    await client.json("GET", "/health", headers={"Host": "xchat.example"}, status=403)
    portal = {"Origin": "https://portal.example", "Sec-Fetch-Site": "cross-site"}
    await client.json("GET", "/health", headers=portal, status=200)
    await client.json("GET", "/health", headers={"Origin": "https://portal.example.evil"}, status=403)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "*"])
def test_no_open_door(host: str) -> None:
    """An address beyond loopback is refused."""
    with pytest.raises(SettingsError, match="HOST"):
        Settings.from_env({"HOST": host})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """Loopback addresses are allowed."""
    assert Settings.from_env({"HOST": host}).host == host
