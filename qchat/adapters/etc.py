"""The /etc that agents see: a copy of what programs need of the machine's, and nobody's secrets.

One directory, mounted as a whole: thirty mounts of single files would cost a turn several
milliseconds. It is made anew at every start; name resolution, which changes while the service runs,
is kept up to date.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from attrs import define

NAMES = (
    "alternatives", "bash.bashrc", "ca-certificates", "crypto-policies", "debian_version", "fonts",
    "gai.conf", "host.conf", "hosts", "inputrc", "java*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "locale.alias", "locale.conf", "localtime", "lsb-release", "magic", "mime.types", "nsswitch.conf",
    "os-release", "pki/ca-trust", "pki/java", "pki/tls", "profile", "profile.d", "protocols",
    "redhat-release", "resolv.conf", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
CHANGING = ("hosts", "nsswitch.conf", "resolv.conf")
MOST_BYTES = 4 * 1024**2
_PASSWD = """\
root:x:0:0:root:/root:/usr/sbin/nologin
agent:x:{uid}:{gid}:agent:{home}:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\nagent:x:{gid}:\nnogroup:x:65534:\n"


@define(eq=False)
class Etc:
    """``path`` is the copy, ``source`` what it is a copy of."""

    path: Path
    source: Path
    _seen: dict[str, tuple[int, int]]

    @classmethod
    def make(
        cls,
        path: Path,
        *,
        uid: int,
        gid: int,
        home: str,
        more: Iterable[str] = (),
        source: Path = Path("/etc"),
    ) -> Self:
        """Make the copy; ``uid``, ``gid`` and ``home`` are those that the agent sees itself with.

        ``more`` are names to copy besides the usual ones.

        :raises OSError: when the directory cannot be written.
        """
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o755)
        made = cls(path, source, {})
        for name in (*NAMES, *more):
            for found in sorted(source.glob(name)):
                made._copy(found)
        (path / "passwd").write_text(_PASSWD.format(uid=uid, gid=gid, home=home), encoding="utf-8")
        (path / "group").write_text(_GROUP.format(gid=gid), encoding="utf-8")
        for directory, _, files in os.walk(path):
            Path(directory).chmod(0o755)
            for file in files:
                if not (Path(directory) / file).is_symlink():
                    (Path(directory) / file).chmod(0o644)
        return made

    def refresh(self) -> None:
        """Copy what has changed since; cheap enough for every turn."""
        for name in CHANGING:
            with suppress(OSError):
                status = (self.source / name).stat()
                if self._seen.get(name) != (status.st_mtime_ns, status.st_ino):
                    self._copy(self.source / name)
                    (self.path / name).chmod(0o644)

    def _copy(self, found: Path) -> None:
        target = self.path / found.relative_to(self.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, shutil.Error):  # what cannot be read is left out
            status = found.stat()
            real = found.resolve()
            if found.is_symlink() and real.is_relative_to("/usr"):
                target.symlink_to(real)
            elif stat.S_ISDIR(status.st_mode):
                shutil.copytree(found, target, symlinks=True, ignore=_unwanted, dirs_exist_ok=True)
            elif _wanted(status):
                self._seen[found.name] = (status.st_mtime_ns, status.st_ino)
                fresh = target.with_name(f".{target.name}.new")
                shutil.copyfile(found, fresh)
                fresh.chmod(0o644)
                fresh.replace(target)


def _unwanted(directory: str, names: list[str]) -> list[str]:
    """What is not for everybody's eyes, and what is too large."""
    unwanted = []
    for name in names:
        path = Path(directory, name)
        status = path.lstat()
        readable = bool(status.st_mode & stat.S_IROTH)
        if not (path.is_symlink() or (stat.S_ISDIR(status.st_mode) and readable) or _wanted(status)):
            unwanted.append(name)
    return unwanted


def _wanted(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH) and status.st_size <= MOST_BYTES
    )
