"""``qchat-admin token``: made, shown once, listed, rotated, revoked."""

import json
import threading
import time
from pathlib import Path

import pytest

from qchat.adapters.tokens import TokensFile, digest
from tests.admin.base import Base, Told, admin


def tool(base: Base, *args: str) -> Told:
    path = base.path.parent / "tokens.json"
    return admin(base.path, "token", *args, QCHAT_TOKENS_FILE=str(path))


def file_of(base: Base) -> TokensFile:
    return TokensFile(base.path.parent / "tokens.json")


def test_added(base: Base) -> None:
    """A token is shown once, alone on stdout; the file has its hash, and whose it is."""
    told = tool(base, "add", "laptop", "--principal", "alice", "--role", "admin", "--expires", "30d")
    assert told.code == 0
    secret = told.out.strip()
    assert secret.startswith("qchat_")
    assert len(secret) > 40
    [token] = file_of(base).load()
    assert (token.name, token.principal, token.role, token.sha256) == (
        *("laptop", "alice", "admin"),
        digest(secret),
    )
    assert token.expires is not None
    assert abs(token.expires - time.time() - 30 * 86400) < 60
    assert secret not in file_of(base).path.read_text()
    assert file_of(base).path.stat().st_mode & 0o777 == 0o600
    listed = tool(base, "list")
    assert secret not in listed.out
    assert listed.out.startswith("laptop\talice\tadmin\t")


def test_json(base: Base) -> None:
    """With --json every action prints one document."""
    added = tool(base, "add", "ci", "--json").json
    assert added["token"].startswith("qchat_")
    assert {**added, "token": ""} == {
        "token": "",
        "name": "ci",
        "principal": "ci",
        "role": "user",
        "created": added["created"],
        "expires": None,
        "expired": False,
    }
    listed = tool(base, "list", "--json").json["tokens"]
    assert [token["name"] for token in listed] == ["ci"]
    assert "sha256" not in listed[0]
    assert tool(base, "revoke", "ci", "--json").json["name"] == "ci"
    assert tool(base, "list", "--json").json == {"tokens": []}


def test_rotated(base: Base) -> None:
    """A new secret for a token keeps its principal and role, and is good for as long as the old one was."""
    old = tool(base, "add", "laptop", "--principal", "alice", "--role", "admin", "--expires", "2h")
    new = tool(base, "add", "laptop", "--rotate")
    assert (old.code, new.code) == (0, 0)
    assert old.out != new.out
    [token] = file_of(base).load()
    assert (token.principal, token.role, token.sha256) == ("alice", "admin", digest(new.out.strip()))
    assert token.expires is not None
    assert abs(token.expires - time.time() - 7200) < 60


def test_revoked(base: Base) -> None:
    """A revoked token is gone from the file, and the others stay."""
    tool(base, "add", "one")
    tool(base, "add", "two")
    assert tool(base, "revoke", "one").code == 0
    assert [token.name for token in file_of(base).load()] == ["two"]


@pytest.mark.parametrize(
    ("code", "args"),
    [
        (1, ("add", "taken")),
        (1, ("add", "new", "--rotate")),
        (1, ("revoke", "new")),
        (2, ("add",)),
        (2, ("add", "")),
        (2, ("add", "a b")),
        (2, ("add", "link")),
        (2, ("add", "QCHAT_TOKEN")),
        (2, ("add", "x", "--principal", "")),
        (2, ("add", "x", "--principal", "a\nb")),
        (2, ("add", "x", "--role", "god")),
        (2, ("add", "x", "--expires", "30")),
        (2, ("add", "x", "--expires", "0d")),
        (2, ("add", "x", "--expires", "-1d")),
        (2, ()),
    ],
)
def test_refused(base: Base, code: int, args: tuple[str, ...]) -> None:
    """What makes no sense is refused with a line that says why, and changes nothing."""
    tool(base, "add", "taken")
    before = file_of(base).path.read_text()
    told = tool(base, *args)
    assert told.code == code
    assert told.err.strip()
    assert not told.out
    assert file_of(base).path.read_text() == before


def test_without_a_file(base: Base) -> None:
    """Without QCHAT_TOKENS_FILE the tool says that it is needed."""
    told = admin(base.path, "token", "list")
    assert told.code == 2
    assert "QCHAT_TOKENS_FILE" in told.err


def test_changes_are_audited(base: Base) -> None:
    """Who gets a token and loses it is in the audit log, the token is not."""
    secret = tool(base, "add", "laptop", "--principal", "alice").out.strip()
    tool(base, "add", "laptop", "--rotate")
    tool(base, "revoke", "laptop")
    text = (base.path / ".qchat/audit.log").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    assert [line["action"] for line in found] == ["add_token", "rotate_token", "revoke_token"]
    assert {(line["token"], line["principal"]) for line in found} == {("laptop", "alice")}
    assert secret not in text


def test_doctor(base: Base, tmp_path: Path) -> None:
    """The doctor says how many tokens there are, what is wrong with their file, and shows none."""
    secret = tool(base, "add", "laptop").out.strip()
    path = str(file_of(base).path)
    told = admin(base.path, "doctor", QCHAT_TOKENS_FILE=path, QCHAT_TOKEN=secret)
    assert "1 token in" in told.out
    assert secret not in told.out
    file_of(base).path.chmod(0o666)
    told = admin(base.path, "doctor", QCHAT_TOKENS_FILE=path)
    assert told.code == 1
    assert "can be written by others" in told.out


def test_two_tools_at_once(base: Base) -> None:
    """Tokens that several tools add at the same time are all in the file."""
    threads = [threading.Thread(target=tool, args=(base, "add", f"t{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in file_of(base).load()} == {f"t{number}" for number in range(4)}
