"""Every hostile program, against every composition, as root and as an ordinary user."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from qchat.adapters import landlock
from tests.sandbox.arena import Arena, Result, interpreter
from tests.sandbox.escapes import files, ipc, kernel, network, processes
from tests.sandbox.escapes.common import ATTEMPTS
from tests.sandbox.expectations import HELD_ANYWAY, NEEDS_ROOT, OPEN, SAME_USER
from tests.users import NOBODY, in_child

assert all((files, ipc, kernel, network, processes))  # importing them fills ATTEMPTS
COMPOSITIONS = {
    "none": ("", "host"),
    "bubblewrap": ("bubblewrap", "ports:443,53"),
    "bubblewrap, network none": ("bubblewrap", "none"),
    "landlock": ("landlock", "ports:443,53"),
}
Outcome = Callable[[str, str], dict[str, str]]


@pytest.fixture(params=["root", "ordinary"])
def who(request: pytest.FixtureRequest) -> str:
    """Whom the service runs as."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("only root can run the service as root")
    if request.param == "ordinary" and os.geteuid() == 0 and not _readable_for_others():
        pytest.skip("an ordinary user cannot read this checkout")
    return str(request.param)


def _readable_for_others() -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in Path(__file__).parents)


@cache
def results(composition: str, who: str) -> Result | str:
    """What became of all attempts, or why they could not be made; done once, for all tests."""
    method, network_ = COMPOSITIONS[composition]
    place = Path(tempfile.mkdtemp(prefix="qchat-arena-", dir="/var/tmp"))
    place.chmod(0o777)

    async def scenario() -> Result:
        async with Arena.open(place, method, network_) as arena:
            return await arena.run()

    try:
        uid = NOBODY if who == "ordinary" and os.geteuid() == 0 else None
        found: Result = in_child(lambda: asyncio.run(scenario()), uid)
    except AssertionError as failure:
        return str(failure)
    else:
        return found
    finally:
        shutil.rmtree(place)


@pytest.fixture
def outcome(who: str) -> Outcome:
    """Composition and name of an attempt to what became of it."""
    if shutil.which("bwrap") is None:
        pytest.fail("these tests need bubblewrap: install the package of that name")
    if landlock.abi() < landlock.ABI_SCOPES:
        pytest.fail("these tests need a kernel with Landlock's network rules and scopes: Linux 6.12 or later")

    def find(composition: str, name: str) -> dict[str, str]:
        found = results(composition, who)
        assert isinstance(found, dict), found
        return found[name]

    return find


@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_control(outcome: Outcome, who: str, name: str) -> None:
    """Without a sandbox the attempt succeeds, or it is known why it cannot."""
    got = outcome("none", name)
    excused = name in HELD_ANYWAY or (who == "ordinary" and name in NEEDS_ROOT)
    assert "through" in got or ("held" in got and excused)


@pytest.mark.parametrize("composition", [name for name in COMPOSITIONS if name != "none"])
@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_contained(outcome: Outcome, who: str, name: str, composition: str) -> None:
    """In the sandbox the attempt is held back; what is known to be open is so."""
    got = outcome(composition, name)
    known = {**OPEN[composition], **(SAME_USER.get(composition, {}) if who == "ordinary" else {})}
    assert ("through" if name in known else "held") in got


def test_interpreter() -> None:
    """There is an interpreter that whoever runs the agents can execute."""
    assert os.access(interpreter(), os.X_OK)
