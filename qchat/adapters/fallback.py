"""Agents without bubblewrap: Landlock and a filter of system calls where there are, else just as another
user or not even that.

Landlock keeps a process from opening, changing and listing what it was not given. It does not hide
that files and processes exist, does not stop chmod, gives no private /tmp and counts no processes. So
this is never called more than partial.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define

from qchat.adapters import landlock
from qchat.adapters.etc import CHANGING, NAMES
from qchat.adapters.policy import Policy
from qchat.adapters.process import Launch
from qchat.adapters.seccomp import UnknownMachine, compile_filter
from qchat.adapters.seen import SYSTEM, Seen, memory

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")


@define(eq=False, kw_only=True)
class Fallback:
    """Made once; what does not change from turn to turn is worked out here."""

    policy: Policy
    rules: list[tuple[int, int]] | None
    """What every agent may reach: (descriptor, rights); None without Landlock."""
    _filter: bytes | None
    held: ExitStack
    """Closes the descriptors of the rules."""

    @classmethod
    def with_landlock(cls, policy: Policy) -> Self:
        """:raises OSError: when Landlock refuses."""
        paths = ["/usr", "/nix/store", "/proc", *(f"/{name}" for name in SYSTEM)]
        for pattern in NAMES:
            paths += map(str, Path("/etc").glob(pattern))
        paths += (os.path.realpath(f"/etc/{name}") for name in (*CHANGING, "localtime"))
        paths += ("/etc/passwd", "/etc/group", *map(str, policy.visible))
        paths += (os.path.realpath(path) for path in policy.visible)
        rules = [(path, landlock.READ) for path in paths]
        rules += [(f"/dev/{name}", landlock.DEVICE) for name in DEVICES]
        held = ExitStack()
        return cls(policy=policy, rules=[*_opened(rules, held)], filter=_filter(), held=held)

    @classmethod
    def with_nothing(cls, policy: Policy) -> Self:
        """What still can be had."""
        return cls(policy=policy, rules=None, filter=_filter(), held=ExitStack())

    @contextmanager
    def launch(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        workspace: Seen,
        home: Seen,
        more: Sequence[Seen] = (),
    ) -> Iterator[Launch]:
        """What to start for one turn; ``more`` is seen besides. The context's end closes descriptors."""
        with ExitStack() as stack:
            applied = {}
            if self.rules is not None:
                own = [(seen.fd, landlock.EVERYTHING) for seen in (workspace, home)]
                others = [(seen.fd, landlock.READ) for seen in more]
                applied["landlock"] = landlock.file_ruleset([*self.rules, *others, *own])
                stack.callback(os.close, applied["landlock"])
            if self._filter is not None:
                applied["seccomp"] = memory(self._filter, stack)
            yield Launch(
                argv=argv,
                # Nobody else's temporary files: the home is the one private place that there is.
                env={**env, "HOME": home.path, "TMPDIR": home.path, "USER": "agent", "LOGNAME": "agent"},
                directory_fd=workspace.fd,
                directory=workspace.path,
                applied=applied,
                # All processes of the user would count, those of other turns and of the service too.
                limits=self.policy.limits.of_processes(count=False),
            )


def _filter() -> bytes | None:
    """Landlock does not see sockets in the file system: without namespaces there are to be none."""
    with suppress(UnknownMachine):
        return compile_filter(namespaces=False, unix_sockets=False)
    return None


def _opened(rules: list[tuple[str, int]], stack: ExitStack) -> Iterator[tuple[int, int]]:
    for path, rights in dict(rules).items():
        with suppress(OSError):
            yield Seen.anything(Path(path), stack).fd, rights
