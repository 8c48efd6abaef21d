"""Fixtures of the running service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from qchat.app import create_app
from qchat.context import CONTEXT, Context
from qchat.settings import Settings
from qchat.web.runner import Runner
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
    runners: list[Runner] = []

    async def start(**variables: str) -> tuple[Client, Context]:
        settings = Settings.from_env(environment(tmp_path / "sessions", **variables))
        app = create_app(settings)
        runner = Runner(app, handler_cancellation=True, shutdown_timeout=1.0)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return Client(http, f"http://{host}:{port}"), app[CONTEXT]

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def client(start_service: StartService) -> Client:
    """A client of a service with default settings."""
    found, _ = await start_service()
    return found
