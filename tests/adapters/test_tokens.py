"""The tokens file: what is believed of it."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from qchat.adapters.tokens import TokensError, TokensFile

GOOD = {
    "name": "laptop",
    "principal": "alice",
    "role": "user",
    "sha256": "0" * 64,
    "created": 1795401606.4,
    "expires": None,
}


def load(path: Path, data: Any, mode: int = 0o600) -> int:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    path.chmod(mode)
    return len(TokensFile(path).load())


def test_good(tmp_path: Path) -> None:
    """A file that is as the tool writes it is believed, also when others can read it."""
    path = tmp_path / "tokens"
    assert load(path, {"tokens": []}) == 0
    assert load(path, {"tokens": [GOOD, {**GOOD, "name": "b", "expires": 1.5, "role": "admin"}]}) == 2
    assert load(path, {"tokens": [{**GOOD, "principal": "王 Ann@example.org"}]}, 0o644) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "link"},
        {"name": 1},
        {"principal": ""},
        {"principal": " a"},
        {"principal": "a\nb"},
        {"principal": "x" * 201},
        {"role": "root"},
        {"role": None},
        {"role": []},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"sha256": None},
        {"expires": "never"},
        {"expires": True},
        {"expires": -1},
        {"created": None},
        {"extra": 1},
    ],
)
def test_wrong_entries(tmp_path: Path, change: dict[str, Any]) -> None:
    """One entry that is not as it must be makes the whole file unusable, and the error names the field."""
    with pytest.raises(TokensError, match="entry 1") as caught:
        load(tmp_path / "tokens", {"tokens": [GOOD, {**GOOD, "name": "b", **change}]})
    assert next(iter(change)) in str(caught.value) or "extra" in change


@pytest.mark.parametrize(
    "data",
    [
        *("", "{", "[]", "null", "{}", '{"tokens": {}}', '{"tokens": [], "more": 1}', "[" * 100_000),
        {"tokens": [GOOD, GOOD]},
        {"tokens": [{name: value for name, value in GOOD.items() if name != "expires"}]},
        {"tokens": ["x"]},
        '{"tokens": [NaN]}',
        "\x00",
    ],
)
def test_wrong_files(tmp_path: Path, data: Any) -> None:
    """A file that is no such file is an error that names it."""
    with pytest.raises(TokensError, match="tokens"):
        load(tmp_path / "tokens", data)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_others_can_write_it(tmp_path: Path, mode: int) -> None:
    """A file that others can write is not believed."""
    with pytest.raises(TokensError, match="chmod 600"):
        load(tmp_path / "tokens", {"tokens": [GOOD]}, mode)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe or a directory in its place is an error at once, and never waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(TokensError, match="cannot be read"):
            TokensFile(path).load()
    with pytest.raises(TokensError, match="qchat-admin token add"):
        TokensFile(tmp_path / "missing").load()


def test_a_passing_fault_passes(tmp_path: Path) -> None:
    """A file that could not be opened just then is read at the next request, though it has not changed."""
    path = tmp_path / "tokens"
    load(path, {"tokens": [GOOD]})
    file = TokensFile(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        during = file.current()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert during == ()
    assert len(file.current()) == 1


def test_a_copy_that_keeps_the_time(tmp_path: Path) -> None:
    """A file that is overwritten in place, with its size and time kept, is read again."""
    path = tmp_path / "tokens"
    load(path, {"tokens": [GOOD]})
    file = TokensFile(path)
    assert file.current()[0].sha256 == "0" * 64
    before = path.stat()
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of file systems is a coarse one
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.current()[0].sha256 == "1" * 64


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A tokens file behind a symbolic link is changed where it is."""
    (tmp_path / "real").mkdir()
    assert load(tmp_path / "real" / "tokens", {"tokens": [GOOD]}) == 1
    (tmp_path / "link").symlink_to("real/tokens")
    TokensFile(tmp_path / "link").revoke("laptop")
    assert (tmp_path / "link").is_symlink()
    assert TokensFile(tmp_path / "real" / "tokens").load() == ()
