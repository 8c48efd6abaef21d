"""Fixtures of the running service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from qchat.app import create_app
from qchat.context import CONTEXT, Context
from qchat.settings import Settings
from tests.harness import Client, environment

StartService = Callable[..., Awaitable[tuple[Client, Context]]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


@pytest.fixture
async def start_service(http: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[StartService]:
    """Starts a service in this process; keyword arguments are its variables."""
    servers: list[TestServer] = []

    async def start(**variables: str) -> tuple[Client, Context]:
        settings = Settings.from_env(environment(tmp_path / "sessions", **variables))
        app = create_app(settings)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=1.0)
        servers.append(server)
        return Client(http, str(server.make_url("")).rstrip("/")), app[CONTEXT]

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def client(start_service: StartService) -> Client:
    """A client of a service with default settings."""
    found, _ = await start_service()
    return found
