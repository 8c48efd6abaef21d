"""The API document: complete, valid, and what the service does."""

import asyncio
import base64
import hashlib
import html
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from qchat.web.openapi import document
from qchat.web.operation import operation_of
from qchat.web.routes import add_routes
from tests.harness import ROUNDS, Client, bash, environment, frames, server

SECONDS = str(12 * min(ROUNDS, 40))


@pytest.fixture(scope="module")
def app() -> web.Application:
    app = web.Application()
    add_routes(app)
    return app


@pytest.fixture(scope="module")
def described(app: web.Application) -> dict[str, Any]:
    return document(app)


def test_complete(app: web.Application) -> None:
    """Every route is in the document, but the page's own files."""
    routes = [route for route in app.router.routes() if route.method != "HEAD"]
    missing = [route.resource for route in routes if operation_of(route.handler) is None]
    assert [resource.canonical for resource in missing if resource] == ["/ui/{name}"]


def test_names(described: dict[str, Any]) -> None:
    """Every operation has a name of its own, a summary and answers."""
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert Counter(one["operationId"] for one in operations).most_common(1)[0][1] == 1
    assert all(one["summary"].endswith(".") and one["responses"] for one in operations)


def test_schemas(described: dict[str, Any]) -> None:
    """Every schema is one by JSON Schema's own, and every reference leads somewhere."""
    for schema in described["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                _, components, kind, name = node["$ref"].split("/")
                assert name in described[components][kind]
            node = list(node.values())
        if isinstance(node, list):
            for one in node:
                check(one)

    check(described)


async def test_served(client: Client, described: dict[str, Any]) -> None:
    """The service serves its document."""
    assert await client.json("GET", "/api/v1/openapi.json", status=200) == described


@pytest.mark.parametrize("phases", ["coverage,fuzzing", "stateful"])
async def test_nothing_breaks_the_promise(phases: str, tmp_path: Path) -> None:
    """Whatever Schemathesis sends, alone or link by link, is answered as the document says, and by no 5xx."""
    env = environment(tmp_path / "sessions", QCHAT_LANG="en")
    async with server(env, tmp_path / "log") as running:
        process = await asyncio.create_subprocess_exec(
            *(
                Path(sys.executable).with_name("st"),
                "--config-file",
                Path(__file__).with_name("schemathesis.toml"),
            ),
            *("run", f"{running.url}/api/v1/openapi.json", "--phases", phases, "--max-time", SECONDS),
            # Its answer never ends, see the test below; how turns fail is told by 503.
            *("--exclude-operation-id", "turns_session_events", "--continue-on-failure", "--no-shrink"),
            *("--generation-database", "none", "--request-timeout", "60", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        log = (tmp_path / "log").read_text()
    assert process.returncode == 0, said.decode()
    assert "request failed" not in log


async def test_the_stream_of_a_session(client: Client, described: dict[str, Any]) -> None:
    """Every event on the stream of a session is one that the document has."""
    event = {**described, "$ref": "#/components/schemas/EventData"}
    validator = jsonschema_rs.validator_for(event)
    session = await client.session()
    await client.turn(session, bash("echo a; echo b"))
    await client.turn(session, "say later", on_busy="queue")
    await client.turn(session, "fail 1", on_busy="queue")
    seen = set()
    async with client.http.get(f"{client.url}/api/v1/sessions/{session}/events") as response:
        async for frame in frames(response):
            if frame.event != "ping" and frame.data is not None:
                validator.validate(frame.data)
                seen.add(frame.type)
                if frame.data.get("turn") == 3 and frame.type in ("done", "error"):
                    await client.http.delete(f"{client.url}/api/v1/sessions/{session}")
    assert {"turn", "chunk", "tool", "queued", "done", "session_deleted"} <= seen


async def test_the_page_for_people(client: Client, described: dict[str, Any]) -> None:
    """The page has every operation and every class; its policy allows its style sheet and nothing else."""
    async with client.http.get(f"{client.url}/api/v1/docs") as response:
        assert response.status == 200
        assert "script-src" not in response.headers["Content-Security-Policy"]
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "<script" not in text
    assert "style=" not in text
    for path, methods in described["paths"].items():
        assert html.escape(path) in text
        assert all(f"id='{told['operationId']}'" in text for told in methods.values())
    assert all(f"id='{name}'" in text for name in described["components"]["schemas"])
    assert {*re.findall(r"href='#([^']*)'", text)} <= described["components"]["schemas"].keys()
