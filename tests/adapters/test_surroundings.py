"""Bad surroundings are named, with what helps."""

from pathlib import Path

import pytest

from qchat.adapters import landlock, surroundings
from qchat.adapters.policy import Network, Policy
from qchat.adapters.surroundings import about_base, about_landlock, explain


@pytest.mark.parametrize(
    ("sysctl", "stderr", "helps"),
    [
        (
            "",
            "bwrap: No permissions to create new namespace, likely because the kernel does not allow",
            "Docker",
        ),
        ("", "bwrap: Creating new namespace failed: Operation not permitted", "seccomp=unconfined"),
        ("", "bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"),
        ("", "bwrap: Creating new namespace failed: No space left on device", "user.max_user_namespaces"),
        ("user/max_user_namespaces 0", "bwrap: whatever", "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone 0", "bwrap: whatever", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns 1",
            "bwrap: setting up uid map: Permission denied",
            "docs/security.md",
        ),
        ("", "bwrap: Can't find source path /root/x: Permission denied", r"chmod o\+x"),
        ("", "bwrap: execvp /opt/q: No such file or directory", "not executable"),
        ("", "", "it said nothing"),
    ],
)
def test_explain(monkeypatch: pytest.MonkeyPatch, sysctl: str, stderr: str, helps: str) -> None:
    """What bubblewrap says becomes a sentence that says what to do."""
    monkeypatch.setattr(surroundings, "_sysctl", lambda state: state == sysctl)
    with pytest.raises(AssertionError, match=helps):
        raise AssertionError(explain(stderr))


@pytest.mark.parametrize(
    ("abi", "says"), [(0, "no Landlock"), (3, "knows no ports"), (4, "abstract sockets")]
)
def test_landlock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abi: int, says: str) -> None:
    """An old kernel is told what it lacks, unless there is no network to guard."""
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    (sentence,) = about_landlock(Policy(base=tmp_path))
    assert says in sentence
    assert about_landlock(Policy(base=tmp_path, network=Network("none"))) == []


def test_base_beneath_tmp(tmp_path: Path) -> None:
    """A base directory that the system may empty is pointed out."""
    assert any("beneath /tmp" in sentence for sentence in about_base(Policy(base=Path("/tmp"))))
    assert about_base(Policy(base=Path("/"))) == []
