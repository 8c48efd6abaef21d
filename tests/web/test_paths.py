"""A hundred thousand ways out of a workspace, over a real socket; none of them leads anywhere."""

import asyncio
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from qchat.web.handlers.meta import UI
from tests.conftest import StartService
from tests.harness import ROUNDS, Client
from tests.web.places import API, connection

SECRET = b"outside bytes, which nobody may have"
PATHS = 1000
"""Of each round; the soak does a hundred."""
AT_ONCE = 10

PARTS = [
    *(b"..", b".", b"", b"ab", b"abc", b"a", b"inside", b"secret", b"up", b"to-file", b"to-abc", b"root"),
    *(b"%2e%2e", b"%2e", b"%2E%2e", b"..%2f", b"%2f", b"%00", b"%252e%252e", b"%c0%ae%c0%ae", b"\xff"),
    *(b"etc", b"passwd", b"proc", b"self", b"..\\", b"%5c", b"...", b"%0a", b"x" * 256, b"..;", b"~"),
]
path_of_parts = st.lists(
    st.one_of(st.sampled_from(PARTS), st.binary(max_size=8).map(lambda raw: quote_from_bytes(raw).encode())),
    min_size=1,
    max_size=8,
).map(b"/".join)


def hostile_tree(base: Path, name: str) -> None:
    """Secrets beside the workspace ``name``, and links to them in it."""
    workspace = base / name
    # Sessions whose names begin alike, and what belongs to the service alone.
    for outside in (
        base / (name + "c"),
        base / name[:-1],
        base.parent / "ab",
        base / ".qchat" / name / "home",
    ):
        outside.mkdir(parents=True, exist_ok=True)
        (outside / "secret").write_bytes(SECRET)
    (base / "secret").write_bytes(SECRET)
    (workspace / "inside").mkdir()
    (workspace / "inside" / "a").write_bytes(b"inside")
    links = {"up": "..", "root": "/", "inside/up": "../..", "proc": "/proc/self", "secret": "to-file"}
    links |= {"to-file": f"{base}/secret", "to-abc": f"{base}/{name}c", "inside/secret": f"{base}/secret"}
    for link, target in links.items():
        (workspace / link).symlink_to(target)


def fingerprint(base: Path, name: str) -> list[tuple[str, bytes]]:
    """Everything outside of the workspace that an upload or a removal could have changed."""
    places = [base / (name + "c"), base / name[:-1], base.parent / "ab", base / ".qchat" / name]
    files = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    return [(str(path), path.read_bytes()) for path in [*files, base / "secret"]]


def draw(number: int) -> list[bytes]:
    """Different paths, as they stand in a request: another thousand for every ``number``."""
    found: set[bytes] = set()

    @seed(number)
    @settings(
        max_examples=PATHS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(path_of_parts)
    def collect(path: bytes) -> None:
        found.add(path.translate(None, b" \r\n\t\0#?"))

    collect()
    return sorted(found)


def request(method: str, session: str, path: bytes) -> bytes:
    body = b"hostile" if method == "PUT" else b""
    line = f"{method} {API}/sessions/{session}/files/".encode() + path + b" HTTP/1.1\r\n"
    return line + b"Host: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Its status, whether the connection ends with it, and all of it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    body = await reader.readexactly(int(length[1]) if length else 0)
    closed = head.startswith(b"HTTP/1.0") or b"connection: close" in head.lower()
    return int(head.split(b" ", 2)[1]), closed, head + body


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_no_path_leads_out(start_service: StartService, number: int) -> None:
    """Whatever a path is made of, no byte from outside is read, and none outside is written or removed."""
    client, ctx = await start_service()
    session = await client.session()
    base = ctx.settings.sessions_base_dir.absolute()
    hostile_tree(base, session)
    before = fingerprint(base, session)
    methods = itertools.cycle(("GET", "GET", "PUT", "DELETE"))
    requests = [(next(methods), path) for path in draw(number)]
    count = len(requests)  # they are taken from the list
    statuses: Counter[int] = Counter()

    async def try_all(part: list[tuple[str, bytes]]) -> None:
        while part:
            async with connection(client) as (reader, writer):
                closed = False
                while part and not closed:
                    method, path = part.pop()
                    writer.write(request(method, session, path))
                    status, closed, answer = await read_answer(reader)
                    assert SECRET not in answer, path
                    assert b"root:x:0:" not in answer, path
                    assert status < 500, (path, answer)
                    statuses[status] += 1

    await asyncio.gather(*(try_all(requests[first::AT_ONCE]) for first in range(AT_ONCE)))
    assert fingerprint(base, session) == before
    assert not os.path.lexists(base.parent / "hostile")
    assert sum(statuses.values()) == count > 0.9 * PATHS
    print(f"{count} paths: {dict(statuses)}")


async def test_the_page_has_plain_names_only(client: Client, tmp_path: Path) -> None:
    """The page's route, which is open to everybody, serves no other file, however it is named."""
    secret = tmp_path / "secret.txt"
    secret.write_bytes(SECRET)
    beside = os.path.relpath(secret, UI)
    for path in (str(secret), f"/{secret}", beside, f"./{beside}", f"icons/../{beside}", "/etc/passwd", "\0"):
        quoted = quote(path, safe="")
        for name in (quoted, quoted.replace("%2F", "%2f"), quoted.replace("%", "%25")):
            async with connection(client) as (reader, writer):
                writer.write(f"GET /ui/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                status, _, answer = await read_answer(reader)
            assert status == 404, name
            assert SECRET not in answer
