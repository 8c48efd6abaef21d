"""Why there is no sandbox here, and what would help: sentences for whoever runs the service."""

import os
import re
from contextlib import suppress
from pathlib import Path

from qchat.adapters import landlock
from qchat.adapters.policy import Policy

_DOCKER = (
    "in Docker run with --security-opt seccomp=unconfined --security-opt systempaths=unconfined (or a profile"
    " that allows clone, unshare, mount, umount2, pivot_root and setns), or give every deployment a container"
    " and set QCHAT_SANDBOX=external"
)
_REMEDIES = (
    # (sysctl and the value that stands in the way, what bubblewrap says, what helps)
    (
        "user/max_user_namespaces 0",
        "",
        "user namespaces are switched off: sysctl user.max_user_namespaces=15000",
    ),
    (
        "kernel/unprivileged_userns_clone 0",
        "",
        "user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns 1",
        "uid map|new namespace|loopback",
        "AppArmor keeps them from programs without a profile: docs/security.md shows one for bwrap",
    ),
    ("", "No space left", "too many user namespaces: raise sysctl user.max_user_namespaces"),
    (
        "",
        "Can't find source path",
        "the user that agents run as may not search a directory on the way: chmod o+x it",
    ),
    (
        "",
        "/proc",
        f"parts of /proc are masked, as by containers and by systemd's ProtectKernelTunables: {_DOCKER}",
    ),
    (
        "",
        "namespace|CLONE|clone|uid map|pivot_root|slave|mount",
        f"something forbids namespaces, a filter of system calls by the look of it: {_DOCKER}",
    ),
    ("", "Unexpected capabilities", "start the service without capabilities, or as root"),
    ("", "execvp", "the program is not there, or not executable, for the user that agents run as"),
    ("", "", "docs/security.md lists what it needs"),
)

_OTHER_KERNEL = "Linux 6.7 or later with landlock among its security modules, or QCHAT_AGENT_NETWORK=none"


def explain(stderr: str) -> str:
    """Why bubblewrap failed, from what it wrote and from what the machine says."""
    said = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    remedy = next(
        remedy
        for state, pattern, remedy in _REMEDIES
        if (not state or _sysctl(state)) and re.search(pattern, stderr)
    )
    return f"bubblewrap does not work here ({said}): {remedy}"


def about_landlock(policy: Policy) -> list[str]:
    """What the kernel's Landlock leaves to be desired."""
    if policy.network.kind == "none":
        return []
    told = []
    if landlock.abi() == 0:
        told.append(
            f"this kernel has no Landlock, so agents reach every port, the service's own too: {_OTHER_KERNEL}"
        )
    elif landlock.abi() < landlock.ABI_NETWORK:
        told.append(f"this kernel's Landlock knows no ports, so agents reach every one: {_OTHER_KERNEL}")
    elif landlock.abi() < landlock.ABI_SCOPES:
        told.append("this kernel's Landlock cannot close abstract sockets: Linux 6.12 or later")
    return told


def about_base(policy: Policy) -> list[str]:
    """What is wrong with the base directory."""
    base = policy.base
    told = []
    flags = os.statvfs(base).f_flag
    if flags & os.ST_RDONLY:
        told.append(f"{base} is on a read-only file system: sessions cannot be created")
    if flags & os.ST_NOEXEC:
        told.append(f"{base} is mounted noexec: agents cannot run the programs that they build there")
    if base.is_relative_to("/tmp"):
        told.append(f"{base} is beneath /tmp: the system may delete sessions there at any time")
    return told


def _sysctl(state: str) -> bool:
    name, value = state.split()
    with suppress(OSError):
        return Path("/proc/sys", name).read_text(encoding="ascii").strip() == value
    return False
