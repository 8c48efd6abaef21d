"""The tokens file: names, roles and hashes, never the tokens themselves.

::

    {"tokens": [{"name": "laptop", "principal": "alice", "role": "user", "sha256": "9f86...",
                 "created": 1795401606.4, "expires": null}]}

``qchat-admin token`` writes it, a running service reads it again when it has changed. A file that is
missing, malformed or writable by others lets nobody in: no entry is believed when one is wrong.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from attrs import asdict, define, field, fields, frozen

from qchat.adapters.statedir import give
from qchat.model.principal import Principal, Role, is_principal_name

log = structlog.get_logger()
PREFIX = "qchat_"
MAX_BYTES = 4 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
RESERVED = ("link", "QCHAT_TOKEN")
"""What logs call the two ways in that are not in the file."""


class TokensError(Exception):
    """The tokens file cannot be used or changed so; the text says why."""


@frozen(kw_only=True)
class Token:
    """One entry; times are in seconds since the epoch."""

    name: str
    principal: str
    role: Role
    sha256: str = field(repr=False)
    created: float
    expires: float | None = None

    @property
    def who(self) -> Principal:
        return Principal(self.principal, self.role)

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


def digest(secret: str) -> str:
    """What is kept of a token. It has 256 random bits, so a plain hash is as good as a slow one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


@define(eq=False)
class TokensFile:
    """``path`` need not exist before the first token is added."""

    path: Path
    _seen: tuple[int, ...] | None = None
    _tokens: tuple[Token, ...] = ()
    _complaint: str = ""

    def current(self) -> tuple[Token, ...]:
        """The entries as they are now, expired ones too; none at all when anything is wrong with the file."""
        seen = self._stamp()
        if seen != self._seen:
            try:
                self._tokens = self.load()
                self._seen, self._complaint = seen, ""
                log.info("tokens read", path=str(self.path), count=len(self._tokens))
                if self.path.stat().st_mode & 0o044:
                    log.warning("the tokens file can be read by others: chmod 600 it", path=str(self.path))
            except (TokensError, OSError) as error:
                # Tried again at the next request: it may be no fault of the file, such as too many open ones.
                self._seen, self._tokens = None, ()
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.error("tokens file not usable: nobody is let in by it", error=str(error))
        return self._tokens

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(self.path)
        except OSError:
            return ()
        times = found.st_mtime_ns, found.st_ctime_ns  # a copy may keep the first
        return *times, found.st_dev, found.st_ino, found.st_size, found.st_mode, found.st_uid

    def load(self) -> tuple[Token, ...]:
        """Read the file.

        :raises TokensError: when it is missing, malformed, or others may change it.
        """
        try:
            with open(self.path, "rb", opener=_regular) as file:
                _check_mode(self.path, os.fstat(file.fileno()))
                data = json.loads(file.read(MAX_BYTES + 1))
        except FileNotFoundError as error:
            raise TokensError(f"{self.path} is not there: qchat-admin token add NAME makes it") from error
        except OSError as error:
            raise TokensError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise TokensError(f"{self.path} is no JSON: {error}") from error
        if not isinstance(data, dict) or set(data) != {"tokens"} or not isinstance(data["tokens"], list):
            raise TokensError(f'{self.path} must be {{"tokens": [...]}}')
        found = tuple(self._token(entry, index) for index, entry in enumerate(data["tokens"]))
        if len({token.name for token in found}) < len(found):
            raise TokensError(f"{self.path}: two tokens have the same name")
        return found

    def _token(self, entry: Any, index: int) -> Token:
        known = {attribute.name for attribute in fields(Token)}
        if not isinstance(entry, dict) or set(entry) != known:
            raise TokensError(
                f"{self.path}: entry {index} must be an object with exactly {', '.join(sorted(known))}"
            )
        if wrong := next((name for name, value in entry.items() if not _fits(name, value)), None):
            raise TokensError(f"{self.path}: entry {index} has a {wrong} that is not allowed")
        return Token(**entry)

    # Changes, by the admin tool

    def add(self, token: Token, *, replace: bool = False) -> None:
        """Write the file with one more token; with ``replace`` it takes the place of that of its name.

        :raises TokensError: when the name is taken (or not), or the file cannot be used.
        """
        with self._changing() as tokens:
            index = next((i for i, one in enumerate(tokens) if one.name == token.name), None)
            if index is None and replace:
                raise TokensError(f"there is no token {token.name!r}")
            if index is None:
                tokens.append(token)
            elif replace:
                tokens[index] = token
            else:
                raise TokensError(f"there is a token {token.name!r} already; --rotate gives it a new secret")

    def find(self, name: str) -> Token | None:
        """:raises TokensError:"""
        return next((token for token in self.load() if token.name == name), None)

    def revoke(self, name: str) -> Token:
        """:raises TokensError: also when there is no such token."""
        with self._changing() as tokens:
            for token in tokens:
                if token.name == name:
                    tokens.remove(token)
                    return token
            raise TokensError(f"there is no token {name!r}")

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The entries, to be changed; written when all went well. One tool at a time."""
        path = self.path.resolve()
        try:
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise TokensError(f"{path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            tokens = list(self.load()) if path.exists() else []
            yield tokens
            _write(path, {"tokens": [asdict(token) for token in tokens]})
            os.fsync(directory)
        except OSError as error:
            raise TokensError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            os.close(directory)


def _regular(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("it is not a regular file")
    return fd


def _check_mode(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
        raise TokensError(f"{path} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o022:
        raise TokensError(f"{path} can be written by others: chmod 600 it")


def _fits(name: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    match name:
        case "name":
            return isinstance(value, str) and is_token_name(value)
        case "principal":
            return is_principal_name(value)
        case "role":
            return value in ("user", "admin")
        case "sha256":
            return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
        case "expires":
            return value is None or number
        case _:
            return number


def is_token_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None and text not in RESERVED


def _write(path: Path, data: Any) -> None:
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            # Root makes it for the service, which has to be able to read it.
            give(fd, to_owner_of=path if path.exists() else path.parent)
            json.dump(data, file, ensure_ascii=False, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(fd)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def from_environment(secret: str) -> Token:
    """QCHAT_TOKEN as an entry: the operator's."""
    return Token(name="QCHAT_TOKEN", principal="", role="admin", sha256=digest(secret), created=time.time())
