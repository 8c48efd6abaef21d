"""The architecture, enforced: imports point one way."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qchat"
ALLOWED = {
    "model": {"model"},
    "adapters": {"adapters", "model", "client"},
    "service": {"service", "adapters", "model"},
    "web": {"web", "service", "adapters", "model"},
    "client": {"client"},
}


def imported(path: Path) -> list[str]:
    """The full names of the modules that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.parametrize("layer", ALLOWED)
def test_imports_point_one_way(layer: str) -> None:
    """A layer imports only itself and the layers below it."""
    wrong = []
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "qchat" and parts[1:] and parts[1] in ALLOWED and parts[1] not in ALLOWED[layer]:
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_the_model_does_no_input_or_output() -> None:
    """The model imports nothing that reads, writes, waits or asks the time."""
    forbidden = {
        "os",
        "io",
        "asyncio",
        "time",
        "socket",
        "subprocess",
        "pathlib",
        "threading",
        "sqlite3",
        "aiohttp",
    }
    for path in sorted((PACKAGE / "model").rglob("*.py")):
        assert not {name.split(".")[0] for name in imported(path)} & forbidden, path
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), path


def test_the_client_needs_nothing_of_the_server() -> None:
    """The client can be taken out of the package: it imports only itself, aiohttp and what that needs."""
    allowed = {"aiohttp", "attrs", "yarl", *sys.stdlib_module_names}
    for path in sorted((PACKAGE / "client").rglob("*.py")):
        for name in imported(path):
            assert name.startswith("qchat.client.") or name.partition(".")[0] in allowed, f"{path}: {name}"
