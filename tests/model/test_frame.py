"""Frames, as JSON says they have to be."""

import json

from hypothesis import given
from hypothesis import strategies as st

from qchat.model.frame import LONG, quoted


@given(st.text(), st.sampled_from(["", "x", "中", '"', "\\", "\n\t", "\x00", "\x1f", "\x7f", "\ud800"]))
def test_long_text(text: str, more: str) -> None:
    """A text is quoted the same way whether it is short or so long that it is searched instead."""
    for filler in ("", "." * LONG):
        assert quoted(text + more + filler) == json.dumps(text + more + filler, ensure_ascii=False)
