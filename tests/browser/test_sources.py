"""The page's sources, before they run."""

import re
import subprocess

from tests.harness import ROOT

UI = ROOT / "ui"


def test_types(npm: list[str]) -> None:
    """TypeScript finds no error."""
    compiler = str(UI / "node_modules" / "typescript" / "bin" / "tsc")
    command = [npm[0], compiler, "--noEmit"]
    checked = subprocess.run(command, cwd=UI, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_words() -> None:
    """Every text has both languages, the same places for values in each, and is used."""
    keys = {}
    for language in ("en", "zh"):
        lines = (UI / "src" / "text" / f"{language}.ts").read_text().splitlines()
        pairs = [line.strip().split(": ", 1) for line in lines if line.startswith("  ") and ": " in line]
        keys[language] = {key: sorted(set(re.findall(r"\{\w+\}", text))) for key, text in pairs}
    assert keys["en"] == keys["zh"]
    code = "".join(path.read_text() for path in (UI / "src").rglob("*.ts*") if path.parent.name != "text")
    composed = ("code_", "do_", "reason_", "level_", "isolation_", "theme_", "help_", "notice_")
    unused = [key for key in keys["en"] if not key.startswith(composed) and f'"{key}"' not in code]
    assert unused == []
