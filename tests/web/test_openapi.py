"""The API document: complete, valid, and what the service does."""

from collections import Counter
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from qchat.web.openapi import document
from qchat.web.operation import operation_of
from qchat.web.routes import add_routes
from tests.harness import Client


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
