"""What operators see of a running service: metrics, probes, the dashboard and the alerts."""

import json
import re
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from qchat.metrics import Metrics
from tests.conftest import StartService
from tests.harness import ROOT, Client, environment, server, until

API = "/api/v1"
DEPLOY = ROOT / "deploy"


async def scrape(client: Client) -> dict[tuple[str, str], float]:
    """Every sample: (name, its label's value)."""
    async with client.http.get(f"{client.url}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


async def test_counts(start_service: StartService) -> None:
    """Turns are counted by how they ended, with their bytes and times; streams by how they began."""
    client, ctx = await start_service()
    before = await scrape(client)
    assert before["qchat_turns_total", "completed"] == before["qchat_turns_total", "cancelled"] == 0
    session = await client.session()
    await client.turn(session, "say hello")
    ended = await client.ended(session, 1)
    await until(lambda: ctx.turns.running == 0)
    await client.events(f"{API}/sessions/{session}/turns/1/events", headers={"Last-Event-ID": "1-0"})
    await client.turn(session, "hang")
    await until(lambda: ctx.metrics.registry.get_sample_value("qchat_spawn_seconds_count") == 2)
    assert (await scrape(client))["qchat_turns_running", ""] == 1
    await client.json("POST", f"{API}/sessions/{session}/turns/2/cancel", status=200)
    await ctx.janitor.sweep()
    await until(lambda: ctx.turns.running == 0)
    found = await scrape(client)
    assert found["qchat_turns_total", "completed"] == found["qchat_turns_total", "cancelled"] == 1
    assert found["qchat_output_bytes_total", ""] >= ended["bytes"] > 0
    assert found["qchat_turn_first_byte_seconds_count", ""] >= 1
    assert found["qchat_turn_seconds_count", ""] == 2
    assert found["qchat_spawn_seconds_count", ""] == 2
    assert (
        found["qchat_database_commit_seconds_count", ""] > before["qchat_database_commit_seconds_count", ""]
    )
    assert found["qchat_streams_opened_total", ""] == 2
    assert found["qchat_streams_resumed_total", ""] == 1
    assert found["qchat_sweeps_total", ""] == 1
    assert (found["qchat_turns_running", ""], found["qchat_turns_queued", ""]) == (0, 0)
    assert (found["qchat_sandbox_level", "none"], found["qchat_sandbox_level", "full"]) == (1, 0)
    assert (found["qchat_sessions", ""], found["qchat_agent_available", ""]) == (1, 1)
    await until(lambda: lag(ctx.metrics) > 0)


def lag(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("qchat_event_loop_lag_seconds_count") or 0


async def test_each_service_counts_for_itself(start_service: StartService) -> None:
    """Two services in one process do not share numbers."""
    one, _ = await start_service()
    await one.json("POST", f"{API}/chat", json={"message": "say x"}, status=200)
    assert (await scrape(one))["qchat_turns_total", "completed"] == 1


@pytest.mark.parametrize("name", ["grafana-dashboard.json", "alerts.yml"])
async def test_what_is_shown_exists(client: Client, name: str) -> None:
    """Every metric that the dashboard and the alerts speak of is one that the service has."""
    text = (DEPLOY / name).read_text()
    if name.endswith(".json"):
        expressions = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    else:
        rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
        expressions = [rule["expr"] for rule in rules]
        assert all(rule["annotations"]["summary"] for rule in rules)
    known = {name for name, _ in await scrape(client)}
    named = {found for one in expressions for found in re.findall(r"\b(?:qchat|process)_\w+", one)}
    assert named
    assert named <= known


async def test_ready(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """The service is alive at once, ready when it is known how agents are kept in, and not while it ends."""
    async with server(environment(tmp_path / "sessions"), tmp_path / "log") as running:
        client = Client(http, running.url)
        for probe in ("/livez", "/readyz"):  # its third line is printed when the canaries are back
            async with http.get(client.url + probe) as response:
                assert response.status == 200


async def test_not_ready(start_service: StartService) -> None:
    """Before the canaries are back, and while the service goes down, readyz is 503; livez is not."""
    client, ctx = await start_service()
    await ctx.launcher.measured.wait()
    ctx.launcher.measured.clear()
    assert await status(client, "/readyz") == 503
    ctx.launcher.measured.set()
    assert await status(client, "/readyz") == 200
    await ctx.turns.close()
    assert await status(client, "/readyz") == 503
    assert await status(client, "/livez") == 200


async def status(client: Client, path: str) -> int:
    async with client.http.get(client.url + path) as response:
        return response.status
