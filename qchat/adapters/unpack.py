"""Unpacking a backup into an empty directory, as if somebody hostile had made it.

Only names that a backup has are taken. What belongs to an agent is made beneath the directory of its
tree, every file anew, and nothing is ever reached through a link; nothing gets set-id bits.
"""

import errno
import hashlib
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from qchat.adapters.beneath import open_directory
from qchat.adapters.snapshot import DATABASE, FORMAT, HEADER, MANIFEST, SEEDED
from qchat.adapters.tarstream import BadArchive, Member, TarReader
from qchat.model.session import is_session_id

Content = Iterable[tuple[int, bytes]]
"""(offset, bytes)"""
MAX_JSON_BYTES = 64 * 1024 * 1024
RESERVE_BYTES = 64 * 1024 * 1024
"""What is left free on the disk."""
LOOK_BYTES = 16 * 1024 * 1024
"""How much is written between two looks at the free space."""
_TRANSCRIPT = re.compile(rb"([1-9][0-9]{0,9})\.(out|err|json)")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)


@define(eq=False)
class Unpacking:
    """What was found, in ``root``: ``sessions/``, ``state/`` and the rows."""

    root: Path
    header: dict[str, Any] = field(factory=dict)
    manifest: dict[str, Any] = field(factory=dict)
    transcripts: dict[tuple[str, int], tuple[int, str]] = field(factory=dict)
    """(session, turn) to (length, SHA-256)."""
    _tree: "_Tree | None" = None

    def take(self, reader: TarReader) -> None:
        """Unpack everything. After an error what was unpacked is good for nothing.

        :raises BadArchive: for anything that is not as a backup has it.
        :raises OSError: when the disk is full.
        """
        for name in ("sessions", "state"):
            (self.root / name).mkdir(mode=0o700)
        try:
            for member in reader:
                with _blaming(member):
                    self._take(member, reader.content())
        finally:
            self._leave_tree()
        if not self.manifest:
            raise BadArchive("it is not complete")

    def _take(self, member: Member, content: Content) -> None:
        if self.manifest:
            raise BadArchive("there is something after its end")
        if not self.header:
            self.header = _json(member, HEADER, content)
            if self.header.get("format") != FORMAT:
                raise BadArchive(f"its format is {self.header.get('format')!r}; this release reads {FORMAT}")
            return
        match member.name.removesuffix(b"/").split(b"/"):
            case [b"sessions", session, *path] if _is_id(session):
                self._enter_tree(b"sessions/" + session, path, member).add(path, member, content)
            case [b"state", session, b"home", *path] if _is_id(session):
                self._enter_tree(b"state/" + session + b"/home", path, member).add(path, member, content)
            case [b"state", session, b"turns", file] if _is_id(session):
                self._take_transcript(session.decode(), file, member, content)
            case [b"state", session, b"seeded"] if _is_id(session):
                place = self.root / "state" / session.decode()
                place.mkdir(mode=0o700, exist_ok=True)
                _write(place / SEEDED, member, content)
            case [b"qchat.db"]:
                _write(self.root / DATABASE, member, content)
            case [b"manifest.json"]:
                self._leave_tree()
                self.manifest = _json(member, MANIFEST, content)
            case _:
                raise BadArchive("no backup holds such a file")

    def _take_transcript(self, session: str, file: bytes, member: Member, content: Content) -> None:
        found = _TRANSCRIPT.fullmatch(file)
        if found is None:
            raise BadArchive("this is not the name of a transcript")
        turns = self.root / "state" / session / "turns"
        for place in (turns.parent, turns):
            place.mkdir(mode=0o700, exist_ok=True)
        sha256 = _write(turns / file.decode(), member, content)
        if found[2] == b"out":
            self.transcripts[session, int(found[1])] = (member.size, sha256)

    def _enter_tree(self, name: bytes, path: list[bytes], member: Member) -> "_Tree":
        if self._tree is not None and self._tree.name == name:
            return self._tree
        self._leave_tree()
        if path or member.kind != tarfile.DIRTYPE:
            raise BadArchive("its directory comes later, or not at all")
        place = self.root / name.decode()
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.mkdir(mode=0o700)
        self._tree = _Tree(name, os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        return self._tree

    def _leave_tree(self) -> None:
        if self._tree is not None:
            tree, self._tree = self._tree, None
            try:
                tree.finish()
            finally:
                os.close(tree.root)


@define(eq=False)
class _Tree:
    """A workspace or a home."""

    name: bytes
    root: int
    _directories: list[tuple[list[bytes], Member]] = field(factory=list)

    def add(self, path: list[bytes], member: Member, content: Content) -> None:
        if any(part in (b"", b".", b"..") or b"\0" in part for part in path):
            raise BadArchive("the path leads out")
        if not path:
            if self._directories or member.kind != tarfile.DIRTYPE:
                raise BadArchive("there are two of this name")
            self._directories.append((path, member))
            return
        parent = open_directory(self.root, path[:-1], os.O_PATH)
        try:
            if member.kind == tarfile.DIRTYPE:
                os.mkdir(path[-1], 0o700, dir_fd=parent)
                self._directories.append((path, member))
            elif member.kind == tarfile.REGTYPE:
                self._add_file(parent, path[-1], member, content)
            elif member.kind == tarfile.SYMTYPE:
                os.symlink(member.target, path[-1], dir_fd=parent)
                _own(path[-1], member, dir_fd=parent, follow_symlinks=False)
            elif member.kind == tarfile.LNKTYPE:
                self._add_hard_link(parent, path[-1], member.target)
            else:
                raise BadArchive("it is neither a file, nor a directory, nor a link")
        finally:
            os.close(parent)

    def _add_file(self, parent: int, name: bytes, member: Member, content: Content) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            _fill(fd, member, content)
            _dress(fd, member)
        finally:
            os.close(fd)

    def _add_hard_link(self, parent: int, name: bytes, target: bytes) -> None:
        path = target.removeprefix(self.name + b"/")
        if path == target or any(part in (b"", b".", b"..") for part in path.split(b"/")):
            raise BadArchive("the link leads out")
        *above, first = path.split(b"/")
        place = open_directory(self.root, above, os.O_PATH)
        try:
            if not stat.S_ISREG(os.stat(first, dir_fd=place, follow_symlinks=False).st_mode):
                raise BadArchive("the link does not lead to a file")
            os.link(first, name, src_dir_fd=place, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(place)

    def finish(self) -> None:
        """Give the directories their owners, permissions and times, the deepest first."""
        for path, member in reversed(self._directories):
            fd = open_directory(self.root, path)
            try:
                _dress(fd, member)
            finally:
                os.close(fd)


@contextmanager
def _blaming(member: Member) -> Iterator[None]:
    """What cannot be made as the archive says is the archive's fault, unless it is the disk's."""
    name = ascii(member.name[:300].decode(errors="surrogateescape"))
    try:
        yield
    except BadArchive as error:
        raise BadArchive(f"{name}: {error}") from error
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise BadArchive(f"{name}: {error.strerror}") from error


def _write(path: Path, member: Member, content: Content) -> str:
    """Write a file of the service's own; its SHA-256."""
    if member.kind != tarfile.REGTYPE or sum(length for _, length in member.segments) != member.size:
        raise BadArchive("it is not a plain file")
    fd = os.open(path, _NEW, 0o600)
    try:
        return _fill(fd, member, content)
    finally:
        os.close(fd)


def _fill(fd: int, member: Member, content: Content) -> str:
    sha256 = hashlib.sha256()
    unlooked = LOOK_BYTES
    os.ftruncate(fd, member.size)
    for start, piece in content:
        unlooked += len(piece)
        if unlooked > LOOK_BYTES:
            unlooked = 0
            room = os.fstatvfs(fd)
            if room.f_bavail * room.f_frsize < RESERVE_BYTES + LOOK_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = 0
        while written < len(piece):
            written += os.pwrite(fd, piece[written:], start + written)
        sha256.update(piece)
    return sha256.hexdigest()


def _dress(fd: int, member: Member) -> None:
    _own(fd, member)
    os.fchmod(fd, member.mode)
    os.utime(fd, (member.mtime, member.mtime))


def _own(what: int | bytes, member: Member, **how: Any) -> None:
    """As root, files get back the owner they had; others own what they make."""
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.chown(what, member.uid, member.gid, **how)


def _json(member: Member, name: str, content: Content) -> dict[str, Any]:
    if member.name != name.encode() or member.size > MAX_JSON_BYTES:
        raise BadArchive("this is no backup")
    try:
        data = json.loads(b"".join(piece for _, piece in content))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not data:
        raise BadArchive("it is damaged")
    return data


def _is_id(name: bytes) -> bool:
    return is_session_id(name.decode(errors="replace"))
