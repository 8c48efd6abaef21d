"""The canary: a program that tries to get out of where agents are kept, and says what it found open.

It is read as text and given to an interpreter inside the sandbox, on its standard input; so it imports
nothing but the standard library. Every attempt returns a truthy detail when it got through. What it leaves
outside of its own workspace is empty, has a name of its own, and is removed by the service.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

CLONE_NEWUSER = 0x10000000
KEYCTL_GET_KEYRING_ID, SESSION_KEYRING = 0, -3
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
NUMBERS = {"x86_64": {"keyctl": 250}, "aarch64": {"keyctl": 219}}
IO_URING_SETUP = 425


def read(path: str) -> str:
    with open(path, "rb") as file:
        return repr(file.read(100))


def write(told: dict[str, Any]) -> None:
    """Leave a file wherever that is possible; outside it is seen whether one is really there."""
    for directory in told["elsewhere"]:
        try:
            os.close(os.open(f"{directory}/{told['mark']}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError:
            continue


def is_service(told: dict[str, Any]) -> bool:
    """Whether the service's process is in sight: the number alone could be anybody's in here."""
    try:
        with open(f"/proc/{told['pid']}/stat", "rb") as stat:
            return bool(stat.read().rpartition(b")")[2].split()[19].decode() == told["started"])
    except OSError:
        return False


def other_environment(told: dict[str, Any]) -> str:
    return read(f"/proc/{told['pid']}/environ") if is_service(told) else ""


def other_signal(told: dict[str, Any]) -> str:
    if not is_service(told):
        return ""
    os.kill(told["pid"], 0)
    return f"process {told['pid']}"


def descriptors() -> str:
    """What is open besides the standard three; the listing itself holds one more, which is gone then."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}") if int(name) > 2 else "")
        except OSError:
            continue
    return " ".join(filter(None, found))


def connect(family: int, address: Any, protocol: int = 0) -> str:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as client:
        client.settimeout(2)
        client.connect(address)
        return str(address)


def connect_fast(address: tuple[str, int]) -> str:
    with socket.socket() as client:
        client.settimeout(2)
        client.sendto(b"x", MSG_FASTOPEN, address)
        return str(address)


def new_user_namespace() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        return "unshare" if status == 0 else ""
    os._exit(1 if libc.unshare(CLONE_NEWUSER) else 0)


def system_call(number: int, *arguments: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    return "allowed" if libc.syscall(number, *arguments) >= 0 else ""


def unlimited(limits: dict[str, int]) -> str:
    """What could exceed its limit; infinity is negative."""
    found = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1] for name in limits}
    return " ".join(name for name, hard in found.items() if not 0 <= hard <= limits[name])


def privileged() -> str:
    with open("/proc/self/status", encoding="utf-8") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    if status["NoNewPrivs"].strip() != "1":
        return "can gain privileges"
    return "" if int(status["CapEff"], 16) == 0 else f"capabilities {status['CapEff'].strip()}"


def attempts(told: dict[str, Any]) -> dict[str, Any]:
    """Name to attempt; each raises, or returns nothing, when it is contained."""
    tcp = ("127.0.0.1", told["port"])
    calls = NUMBERS.get(os.uname().machine, {"keyctl": -1})
    return {
        "sessions": lambda: read(told["other"] + "/file"),
        "metadata": lambda: str(os.stat(told["other"] + "/file").st_size),
        "temporary": lambda: read(told["temporary"]),
        "state": lambda: " ".join(os.listdir(told["state"])),
        "processes": lambda: is_service(told),
        "environment": lambda: other_environment(told),
        "signals": lambda: other_signal(told),
        "descriptors": descriptors,
        "port": lambda: connect(socket.AF_INET, tcp),
        "multipath": lambda: connect(socket.AF_INET, tcp, IPPROTO_MPTCP),
        "fastopen": lambda: connect_fast(tcp),
        "sockets": lambda: connect(socket.AF_UNIX, "\0" + told["socket"]),
        "namespaces": new_user_namespace,
        "keyrings": lambda: system_call(calls["keyctl"], KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 0),
        "privileges": privileged,
        "writing": lambda: write(told),
        "limits": lambda: unlimited(told["limits"]),
    }


def leave_daemon() -> None:
    """A process of its own session that holds our standard output; the service sees whether it dies."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    time.sleep(120)
    os._exit(0)


def main(told: dict[str, Any]) -> None:
    """Try everything, say what is open, and leave a daemon behind."""
    found = {}
    for name, attempt in attempts(told).items():
        try:
            found[name] = str(attempt() or "")
        except (OSError, KeyError, ValueError):
            found[name] = ""
    with open("owned", "w", encoding="utf-8"):  # whom it belongs to outside tells whom we run as
        pass
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    leave_daemon()
