"""What the operator's words mean."""

import os
import pwd
from pathlib import Path

import pytest

from qchat.adapters.identity import Owner, UserError, agent_user
from qchat.adapters.policy import Limits, Network


@pytest.mark.parametrize(
    ("text", "kind", "ports"),
    [
        ("ports:443,53", "ports", (53, 443)),
        ("ports:8443", "ports", (8443,)),
        ("host", "host", ()),
        ("none", "none", ()),
    ],
)
def test_network(text: str, kind: str, ports: tuple[int, ...]) -> None:
    """A list of ports, everything, or nothing."""
    network = Network.parse(text)
    assert (network.kind, network.ports) == (kind, ports)
    assert Network.parse(str(network)) == network


@pytest.mark.parametrize(
    "text", ["", "ports", "ports:", "ports:0", "ports:65536", "ports:443,x", "all", "port:443"]
)
def test_network_of_no_meaning(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError):  # noqa: PT011  # the caller says which variable it was
        Network.parse(text)


def test_limits() -> None:
    """Processes are limited only where they can be counted by themselves."""
    limits = Limits(processes=7)
    assert limits.of_processes(count=True)["NPROC"] == 7
    assert "NPROC" not in limits.of_processes(count=False)
    assert limits.of_processes(count=False)["CORE"] == 0


@pytest.mark.parametrize("name", ["root", "0", "no-such-user", "4294967294"])
def test_user_that_cannot_be(name: str) -> None:
    """Root, and users that do not exist, are refused by name."""
    with pytest.raises(UserError, match=f"QCHAT_AGENT_USER='{name}'"):
        agent_user(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose")
def test_user_of_root() -> None:
    """A service that is root takes another user, the one that is asked for or the best there is."""
    nobody = pwd.getpwnam("nobody")
    assert agent_user("nobody") == Owner(nobody.pw_uid, nobody.pw_gid)
    found = agent_user("")
    assert found is not None
    assert found.uid != 0


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("uid_map", "0 1000 1\n", "no uid"),
        ("gid_map", "0 1000 1\n1000 1001 10\n", "no gid"),
        ("status", "CapEff:\t0000000000000040\n", "lacks CAP_SETUID"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_user_that_root_cannot_become(
    monkeypatch: pytest.MonkeyPatch, file: str, content: str, says: str
) -> None:
    """A root without users, or without the right to become one, is told so."""
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **kwargs: content if self.name == file else real(self, **kwargs)
    )
    with pytest.raises(UserError, match=says):
        agent_user("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can choose")
def test_user_of_ordinary_user() -> None:
    """An ordinary service stays who it is, and cannot become anybody else."""
    assert agent_user("") is None
    assert agent_user(pwd.getpwuid(os.geteuid()).pw_name) is None
    with pytest.raises(UserError, match="only a service that is root"):
        agent_user("nobody" if pwd.getpwnam("nobody").pw_uid != os.geteuid() else "daemon")
