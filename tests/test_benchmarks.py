"""The benchmarks still work; how fast anything is, no test says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: apt-get install gcc libc6-dev")
def test_report(tmp_path: Path) -> None:
    """A tiny round runs the floor and the service side by side, and writes its table and its plots."""
    subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "--quick", "--output", tmp_path, "turns"],
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        check=True,
    )
    table = (tmp_path / "README.md").read_text()
    assert "full sandbox" in table
    assert (tmp_path / "plots" / "first-byte.svg").read_text().endswith("</svg>\n")
