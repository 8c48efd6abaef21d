"""Sessions that take too much are found out."""

import asyncio
import os
from pathlib import Path

import pytest

from qchat.adapters.quota import Quota, Quotas
from qchat.adapters.workspace import Usage, Workspace


@pytest.mark.parametrize(
    ("usage", "exceeded"),
    [
        (Usage(100, 1, 10, complete=True), False),
        (Usage(101, 1, 10, complete=True), True),
        (Usage(100, 1, 11, complete=True), True),
        (Usage(0, 0, 0, complete=False), True),
    ],
)
def test_exceeded_by(usage: Usage, exceeded: bool) -> None:
    """Bytes and entries count each; a count that was cut short is too much."""
    assert Quota(bytes=100, entries=10).exceeded_by(usage) is exceeded


@pytest.mark.parametrize("kind", ["bytes", "entries"])
async def test_found_out(tmp_path: Path, kind: str) -> None:
    """A workspace that grows beyond its quota is found out, and one that does not is left alone."""
    fd = os.open(tmp_path, os.O_PATH)
    workspace = Workspace(fd)
    quotas = Quotas(quota=Quota(bytes=100_000, entries=20), pause=0.01)
    counts = 0

    def measure(most: int) -> Usage:
        nonlocal counts
        counts += 1
        return workspace.measure(most)

    watching = asyncio.create_task(quotas.exceeded(measure))
    try:
        (tmp_path / "small").write_bytes(b"x" * 1000)
        while counts < 3:
            await asyncio.sleep(0.01)
        assert not watching.done()
        if kind == "bytes":
            (tmp_path / "large").write_bytes(b"x" * 200_000)
        else:
            for number in range(30):
                (tmp_path / f"{number}").mkdir()
        async with asyncio.timeout(10):
            usage = await watching
        assert usage.bytes > 100_000 if kind == "bytes" else not usage.complete
    finally:
        watching.cancel()
        os.close(fd)
