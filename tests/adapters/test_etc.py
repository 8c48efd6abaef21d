"""The /etc that agents see."""

import os
from pathlib import Path

import pytest

from qchat.adapters.etc import Etc


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "etc"
    (path / "ssl" / "certs").mkdir(parents=True)
    (path / "ssl" / "private").mkdir()
    (path / "ssl" / "private" / "key.pem").write_text("secret")
    (path / "ssl" / "certs" / "ca.pem").write_text("certificate")
    (path / "ssl" / "certs" / "hash.0").symlink_to("ca.pem")
    (path / "passwd").write_text("operator:x:1:1::/:/bin/sh\n")
    (path / "shadow").write_text("secret")
    (path / "hosts").write_text("127.0.0.1 localhost\n")
    (path / "resolv.conf").symlink_to("../run/resolv.conf")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (path / "localtime").symlink_to(
        "/usr/share/zoneinfo/UTC" if Path("/usr/share/zoneinfo/UTC").exists() else "/usr"
    )
    (path / "services").write_text("for nobody")
    (path / "services").chmod(0o600)
    return path


def make(source: Path, **more: tuple[str, ...]) -> Etc:
    return Etc.make(source.parent / "copy", uid=1000, gid=1000, home="/home/agent", source=source, **more)


def test_what_is_in_it(source: Path) -> None:
    """What programs need is there; what is secret, or unknown, is not."""
    path = make(source).path
    found = sorted(str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir())
    assert found == [
        "group",
        "hosts",
        "localtime",
        "passwd",
        "resolv.conf",
        "ssl/certs/ca.pem",
        "ssl/certs/hash.0",
    ]


def test_names_are_invented(source: Path) -> None:
    """The agent finds itself in the password file, and nobody of the machine."""
    text = (make(source).path / "passwd").read_text()
    assert "agent:x:1000:1000:agent:/home/agent:/bin/bash\n" in text
    assert "operator" not in text


def test_links(source: Path) -> None:
    """A link into the system stays one; a link out of what agents see becomes what it led to."""
    path = make(source).path
    assert (path / "localtime").is_symlink()
    assert not (path / "resolv.conf").is_symlink()
    assert (path / "resolv.conf").read_text() == "nameserver 192.0.2.1\n"
    assert os.readlink(path / "ssl" / "certs" / "hash.0") == "ca.pem"


def test_refresh(source: Path) -> None:
    """Name resolution that changes while the service runs is what the next turn sees."""
    etc = make(source)
    (source.parent / "run" / "new").write_text("nameserver 192.0.2.2\n")
    (source.parent / "run" / "new").replace(source.parent / "run" / "resolv.conf")
    etc.refresh()
    assert (etc.path / "resolv.conf").read_text() == "nameserver 192.0.2.2\n"
    (source / "hosts").unlink()
    etc.refresh()
    assert (etc.path / "hosts").exists()


def test_everybody_can_read_it(source: Path) -> None:
    """Another user can read the copy, whatever the service's umask is."""
    old = os.umask(0o077)
    try:
        path = make(source).path
    finally:
        os.umask(old)
    for file in (path, *path.rglob("*")):
        assert file.is_symlink() or file.stat().st_mode & 0o004


def test_more(source: Path) -> None:
    """A file that the operator names is copied too, if everybody may read it."""
    (source / "pip.conf").write_text("x")
    (source / "pip.conf").chmod(0o644)
    assert (make(source, more=("pip.conf",)).path / "pip.conf").exists()
    (source / "pip.conf").chmod(0o600)
    assert not (make(source, more=("pip.conf", "shadow")).path / "pip.conf").exists()


def test_made_anew(source: Path) -> None:
    """What an earlier start left is not trusted."""
    (make(source).path / "planted").touch()
    assert not (make(source).path / "planted").exists()
