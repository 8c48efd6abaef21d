"""Behind nginx, with the configuration that deploy/ has: nothing is held back, cut off or lost."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import qchat.client
from tests.harness import ROOT, Client, Frame, answer, bash, environment, frames, server

API = "/api/v1"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")
Proxy = Callable[..., AbstractAsyncContextManager[str]]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def configuration(port: int, upstream: int, read_timeout: str) -> str:
    """deploy/nginx.conf, without TLS and on other ports."""
    kept = [
        line
        for line in (ROOT / "deploy" / "nginx.conf").read_text().splitlines()
        if not line.strip().startswith(("ssl_certificate", "listen"))
    ]
    text = "\n".join(kept).replace("server_name", f"listen 127.0.0.1:{port};\n    server_name")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    text = text.replace("proxy_read_timeout 660s", f"proxy_read_timeout {read_timeout}")
    return f"""
        daemon off; master_process off; pid nginx.pid; error_log error.log;
        events {{ }}
        http {{
            access_log off; gzip on; gzip_types *; gzip_min_length 1;
            client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
            scgi_temp_path s;
            {text}
        }}
    """


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    """Runs nginx before a port; gives its URL."""

    @asynccontextmanager
    async def run(upstream: int, read_timeout: str = "60s") -> AsyncIterator[str]:
        place = tmp_path / "nginx"
        place.mkdir()
        port = free_port()
        (place / "nginx.conf").write_text(configuration(port, upstream, read_timeout))
        assert NGINX is not None
        process = subprocess.Popen([NGINX, "-p", place, "-e", "error.log", "-c", place / "nginx.conf"])
        try:
            async with asyncio.timeout(10):
                while True:
                    assert process.poll() is None, (place / "error.log").read_text()
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.02)
                    else:
                        writer.close()
                        break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()

    return run


async def test_nothing_is_held_back(http: aiohttp.ClientSession, tmp_path: Path, proxy: Proxy) -> None:
    """An event comes through the proxy while the next one has not been written yet."""
    async with (
        server(environment(tmp_path / "sessions"), tmp_path / "log") as running,
        proxy(int(running.url.rpartition(":")[2])) as url,
    ):
        client = Client(http, url)
        wait = bash(f"until [ -e {tmp_path}/seen ]; do sleep 0.05; done")
        turn = await client.turn(await client.session(), f"say one\n{wait}\nsay two")
        said = ""
        async with asyncio.timeout(30):
            async with http.get(url + turn["events_url"], headers={"Accept-Encoding": "gzip"}) as response:
                async for frame in frames(response):
                    said += answer([frame])
                    if said == "one":
                        (tmp_path / "seen").touch()
        assert said.split() == ["one", "two"]


async def test_the_proxy_adds_little(http: aiohttp.ClientSession, tmp_path: Path, proxy: Proxy) -> None:
    """Two readers of one turn, one of them behind the proxy, see its events at about the same time."""
    async with (
        server(environment(tmp_path / "sessions"), tmp_path / "log") as running,
        proxy(int(running.url.rpartition(":")[2])) as url,
    ):
        client = Client(http, running.url)
        turn = await client.turn(await client.session(), "flood 3000 0.01")

        async def arrivals(base: str) -> dict[str, float]:
            async with http.get(base + turn["events_url"]) as response:
                return {frame.id: time.monotonic() async for frame in frames(response)}

        direct, proxied = await asyncio.gather(arrivals(running.url), arrivals(url))
        added = sorted(proxied[one] - direct[one] for one in direct.keys() & proxied.keys())
        assert len(added) > 50
        print(
            f"added by the proxy: p50 {added[len(added) // 2]:.4f} s, p99 {added[-len(added) // 100]:.4f} s"
        )
        assert added[len(added) // 2] < 0.05


async def test_silence_is_not_cut(http: aiohttp.ClientSession, tmp_path: Path, proxy: Proxy) -> None:
    """Heartbeats keep a stream open for longer than the proxy waits for one byte."""
    env = environment(tmp_path / "sessions", QCHAT_HEARTBEAT="1")
    async with (
        server(env, tmp_path / "log") as running,
        proxy(int(running.url.rpartition(":")[2]), "2s") as url,
    ):
        client = Client(http, url)
        turn = await client.turn(await client.session(), "sleep 5\nsay done")
        assert answer(await client.events(turn["events_url"])) == "done"


async def test_restart_behind_a_proxy(http: aiohttp.ClientSession, tmp_path: Path, proxy: Proxy) -> None:
    """While the service restarts the proxy answers 502; a reader that comes again continues at the byte,
    and the client for Python does so by itself."""
    port = free_port()
    env = environment(tmp_path / "sessions", PORT=str(port))
    async with proxy(port) as url:
        client = Client(http, url)
        async with server(env, tmp_path / "log") as running:
            turn = await client.turn(await client.session(), "flood 100000 0.002")
            seen: list[Frame] = []
            async with http.get(url + turn["events_url"]) as response:
                async for frame in frames(response):
                    seen.append(frame)
                    if len(seen) == 20:
                        break
            events = qchat.client.Client(url, http=http).session(turn["session_id"]).turn(1).events()
            followed = [await anext(events) for _ in range(20)]
            running.kill()
        async with http.get(url + turn["events_url"]) as response:
            assert response.status == 502
        async with server(env, tmp_path / "log"):
            last = [frame.id for frame in seen if frame.id][-1]
            rest = await client.events(turn["events_url"], headers={"Last-Event-ID": last})
            whole = await client.events(turn["events_url"])
            assert answer(seen) + answer(rest) == answer(whole)
            assert rest[-1].type == "error"
            followed += [event async for event in events]
            assert "".join(event.text for event in followed) == answer(whole)
            assert followed[-1].data == rest[-1].data
