"""Fixtures of the operator's tool."""

from pathlib import Path

import pytest

from tests.admin.base import Base


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base directory that no service runs in, empty as yet."""
    return Base.make(tmp_path / "sessions")
