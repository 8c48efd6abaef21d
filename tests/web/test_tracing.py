"""Traces, as a collector gets them."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qchat.settings import Settings, SettingsError
from tests.harness import Client, environment, server

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
async def collected() -> AsyncIterator[tuple[str, list[Span]]]:
    """A collector: where it is, and what it has got."""
    spans: list[Span] = []

    async def take(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    async with TestServer(app) as running:
        yield str(running.make_url("/v1/traces")), spans


async def test_a_turn_is_traced(
    http: aiohttp.ClientSession, tmp_path: Path, collected: tuple[str, list[Span]]
) -> None:
    """The request continues its caller's trace, the turn is below it, its start below that; no span has
    anything of the prompt."""
    url, spans = collected
    async with server(environment(tmp_path / "sessions", QCHAT_TRACES=url), tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        begun = await client.json(
            "POST",
            f"/api/v1/sessions/{session}/turns",
            json={"message": "say a secret"},
            headers={"traceparent": PARENT},
        )
        await client.ended(session, 1)
    found = {span.name: span for span in spans}
    request, turn, spawn = found["POST /api/v1/sessions/{session_id}/turns"], found["turn"], found["spawn"]
    assert request.trace_id.hex() == turn.trace_id.hex() == spawn.trace_id.hex() == TRACE
    assert (turn.parent_span_id, spawn.parent_span_id) == (request.span_id, turn.span_id)
    assert [event.name for event in turn.events] == ["first byte"]
    assert turn.start_time_unix_nano < spawn.end_time_unix_nano < turn.end_time_unix_nano
    values = {a.key: a.value.string_value or a.value.int_value for span in spans for a in span.attributes}
    assert values["qchat.reason"] == "completed"
    assert values["qchat.session_id"] == begun["session_id"]
    assert b"secret" not in b"".join(span.SerializeToString() for span in spans)


async def test_a_collector_that_is_gone(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Without its collector the service works, and ends as fast as ever."""
    env = environment(tmp_path / "sessions", QCHAT_TRACES="http://127.0.0.1:9/v1/traces")
    async with server(env, tmp_path / "log") as running:
        client = Client(http, running.url)
        session = await client.session()
        await client.turn(session, "say x")
        assert (await client.ended(session, 1))["reason"] == "completed"


def test_off_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra it is refused with what to install; with it, but off, nothing of it is imported."""
    monkeypatch.setattr("qchat.settings.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"qchat\[otel\]"):
        Settings.from_env({"QCHAT_TRACES": "http://127.0.0.1:4318/v1/traces"})
    assert "qchat.tracing" not in sys.modules
