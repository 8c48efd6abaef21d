"""What the tests of hostile trees share: a place that any user can reach, and another user."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qchat.adapters import beneath
from tests.users import NOBODY, in_child

Run = Callable[[Callable[[], None]], None]


@pytest.fixture
def rounds() -> Callable[[int], int]:
    """Scales the length of a race: QCHAT_TEST_ROUNDS=20 makes it a soak."""
    factor = float(os.environ.get("QCHAT_TEST_ROUNDS", "1"))
    return lambda number: max(1, int(number * factor))


@pytest.fixture(params=["openat2", "walk"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of resolving a path."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    elif not beneath.has_openat2():
        pytest.skip("this kernel has no openat2")
    return str(request.param)


@pytest.fixture(params=["same user", "ordinary user"])
def run_as(request: pytest.FixtureRequest) -> Run:
    """Runs a function in a child process, as the user of the tests or as an ordinary one."""
    ordinary = request.param == "ordinary user"
    if ordinary and os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already")

    def run(function: Callable[[], None]) -> None:
        in_child(function, NOBODY if ordinary else None)

    return run


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that everyone can write."""
    path = Path(tempfile.mkdtemp(prefix="qchat-test-"))
    path.chmod(0o777)
    yield path
    subprocess.run(["rm", "-rf", path], check=False)  # shutil.rmtree gives up on deep trees
