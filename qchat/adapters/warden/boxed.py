"""Starting an agent in bubblewrap, which says whom it started and waits until that one is limited."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from qchat.adapters.warden import kernel
from qchat.adapters.warden.agent import FAILED, IGNORED, Agent, out_of_the_way
from qchat.adapters.warden.family import processes


class Boxed(Agent):
    """The keeper's child is bubblewrap; the agent is its grandchild, in a namespace of processes."""

    ready = False

    def __init__(self, request: Mapping[str, Any], fds: list[int]) -> None:
        """Start bubblewrap.

        :raises OSError: when it cannot be executed, named by ``filename``.
        """
        self._limits: dict[str, int] = request.get("limits", {})
        self._said = b""
        self._init = 0
        self._cgroup = os.dup(fds[-1]) if request.get("applied") else -1
        passed = [*fds[:3], *fds[4 : len(fds) - len(request.get("applied", ()))]]
        self.status, told = os.pipe()
        block, self._release = os.pipe()
        try:
            self.pid = _spawn(request, [*passed, told, block])
        except OSError:
            os.close(self.status)
            os.close(self._release)
            raise
        finally:
            os.close(told)
            os.close(block)
        self._enter_cgroup(self.pid)

    def hear(self) -> None:
        """Take in what bubblewrap says, and let the agent go once it is known and limited.

        :raises OSError: when the limits cannot be set.
        """
        facts = self._listen()
        if not self.ready and "child-pid" in facts:
            self._init = int(facts["child-pid"])
            self._enter_cgroup(self._init)
            kernel.limit(self._init, self._limits)
            # When memory runs out, an agent goes before the service does.
            with suppress(OSError), open(f"/proc/{self._init}/oom_score_adj", "wb", 0) as score:
                score.write(b"500")
            os.write(self._release, b"x")
            self.ready = True

    def exit_code(self, code: int) -> int:
        facts = self._listen()
        while self.status >= 0:
            facts = self._listen()
        said = facts.get("exit-code")
        if said is None:  # bubblewrap itself came to an end, or could not execute the agent
            return code if code < 0 else FAILED
        return 128 - said if 128 < said <= 128 + signal.NSIG else int(said)

    def signal(self, number: int) -> None:
        """Send a signal to the agent, past bubblewrap, which would not pass it on."""
        with suppress(ProcessLookupError):
            os.kill(self._inner() or self.pid, number)

    def _enter_cgroup(self, pid: int) -> None:
        if self._cgroup >= 0:
            with suppress(ProcessLookupError):
                os.write(self._cgroup, str(pid).encode())

    def _listen(self) -> dict[str, Any]:
        """All facts that bubblewrap has told so far; it tells them in pieces."""
        if self.status >= 0:
            said = os.read(self.status, 4096)
            self._said += said
            if not said:
                os.close(self.status)
                self.status = -1
        facts: dict[str, Any] = {}
        for line in self._said.split(b"\n")[:-1]:
            facts.update(json.loads(line))
        return facts

    def _inner(self) -> int:
        """The second process of the sandbox's namespace, which is the agent, where there is one."""
        for pid, parent in processes() if self._init else ():
            if parent == self._init:
                with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
                    numbers = next(line for line in status if line.startswith("NSpid:"))
                    if numbers.split()[-1] == "2":
                        return pid
        return 0


def _spawn(request: Mapping[str, Any], fds: list[int]) -> int:
    """Without a fork of this interpreter: bubblewrap does by itself what would need one."""
    argv = request["argv"]
    high = out_of_the_way(fds)
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            request["env"],
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(high)],
            setsid=True,
            setsigdef=IGNORED,
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, argv[0]) from None
    finally:
        for fd in high:
            os.close(fd)
