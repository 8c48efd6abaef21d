"""The commands in the documentation work as they stand there, against a service with the built-in agent."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, environment, server

PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
RUN = re.compile(r"(curl|[A-Z]+=\S+|bin/qchat-admin (list|doctor))\b")
"""Commands that are run; others set up, serve or need a machine of their own."""


def commands(text: str) -> list[str]:
    """The lines of a session on a terminal that are typed; none where one of them is not for running."""
    typed = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return typed if all(RUN.match(line) for line in typed) else []


def examples() -> dict[str, list[tuple[str, str]]]:
    """For each page what can be run of it: (language, code)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text()):
            code = "\n".join(commands(text)) if language == "console" else text
            if code and (language == "console" or "import" in code):
                found.setdefault(str(page.relative_to(ROOT)), []).append((language, code))
    return found


def test_there_are_examples() -> None:
    """The pages that show how to use the service are among those that are run."""
    assert {"README.md", "README.zh.md", "docs/admin.md", "docs/using.md"} <= set(examples())


@pytest.mark.parametrize("page", sorted(examples()))
async def test_examples(tmp_path: Path, page: str) -> None:
    """Each example succeeds, and no answer in it is an error."""
    env = environment(tmp_path / "sessions", QCHAT_AGENT="local")
    async with server(env, tmp_path / "log") as running:
        for language, code in examples()[page]:
            text = code.replace("http://127.0.0.1:8080", running.url)
            text = text.replace("bin/qchat-admin", f"{shlex.quote(sys.executable)} -m qchat.admin")
            program = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
            child = await asyncio.create_subprocess_exec(
                *program,
                text,
                env={**env, "PYTHONPATH": str(ROOT)},
                cwd=_checkout(tmp_path),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said = (await child.communicate())[0].decode()
            assert child.returncode == 0, said
            assert '"http_status"' not in said, said


def _checkout(tmp_path: Path) -> Path:
    """A directory that has what examples name."""
    place = tmp_path / "checkout"
    place.mkdir(exist_ok=True)
    (place / "README.md").write_text("# qchat\n")
    return place
