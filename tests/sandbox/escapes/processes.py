"""Reaching processes of others, gaining rights, taking more than one's share."""

import ctypes
import os
import resource
import signal
import stat
import time

from tests.sandbox.escapes.common import (
    MACHINE,
    NUMBERS,
    Told,
    call,
    check,
    escape,
    in_child,
    libc,
    others,
    read,
)

PTRACE_SEIZE = 0x4206
PROCESS_VM_READV = {"x86_64": 310, "aarch64": 270}[MACHINE]
PIDFD_OPEN, PIDFD_GETFD, PIDFD_SEND_SIGNAL = 434, 438, 424


@escape
def see_processes(told: Told) -> object:
    return [read(f"/proc/{pid}/cmdline") or "a process" for pid in others(told)]


@escape
def read_environment_of_service(told: Told) -> object:
    return [pid for pid in others(told) if told["mark"].encode() in read(f"/proc/{pid}/environ")]


@escape
def read_environment_of_ancestors(told: Told) -> object:
    """Bubblewrap and whoever started it are in sight as process 1, or by their own numbers."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if told["mark"].encode() in read(f"/proc/{name}/environ"):
                    found.append(name)
            except OSError:
                continue
    return found


@escape
def read_memory_of_service(told: Told) -> object:
    return [pid for pid in others(told) if read(f"/proc/{pid}/maps")]


@escape
def list_descriptors_of_service(told: Told) -> object:
    return [os.listdir(f"/proc/{pid}/fd") for pid in others(told)]


@escape
def use_inherited_descriptor(told: Told) -> object:
    """A directory among them would open everything."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue
        if int(name) > 2 and not stat.S_ISFIFO(status.st_mode):  # the pipe of this attempt
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if not path.startswith("/proc/")]


@escape
def signal_service(told: Told) -> object:
    found = others(told)
    for pid in found:
        os.kill(pid, 0)
    return found


@escape
def trace_service(told: Told) -> object:
    found = others(told)
    for pid in found:
        call(NUMBERS["ptrace"], PTRACE_SEIZE, pid, 0, 0)  # our end detaches
    return found


@escape
def read_process_memory(told: Told) -> object:
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(16)
    mine = Vector(ctypes.addressof(buffer), 16)
    found = []
    for pid in others(told):
        start = int(read(f"/proc/{pid}/maps").split(b"-")[0], 16)
        theirs = Vector(start, 16)
        found.append(call(PROCESS_VM_READV, pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))
    return found


@escape
def signal_by_descriptor(told: Told) -> object:
    found = []
    for pid in others(told):
        fd = call(PIDFD_OPEN, pid, 0)
        found.append(call(PIDFD_SEND_SIGNAL, fd, 0, None, 0) + 1)
    return found


@escape
def steal_descriptor(told: Told) -> object:
    return [call(PIDFD_GETFD, call(PIDFD_OPEN, pid, 0), 0, 0) + 1 for pid in others(told)]


@escape
def slow_down_service(told: Told) -> object:
    for pid in others(told):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))
    return others(told)


@escape
def limit_service(told: Told) -> object:
    return [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in others(told)]


@escape
def pin_service(told: Told) -> object:
    found = others(told)
    for pid in found:
        os.sched_setaffinity(pid, os.sched_getaffinity(pid))
    return found


@escape
def become_root(told: Told) -> object:
    return in_child(lambda: os.setresuid(0, 0, 0))


@escape
def run_as_root(told: Told) -> object:
    """Root inside a namespace may still be root of the machine: outside sees whose file this is."""
    os.close(os.open("whose", os.O_CREAT | os.O_WRONLY))
    return None


@escape
def gain_by_setuid_program(told: Told) -> object:
    """A program with the set-user-id bit has no effect without new privileges."""
    status = read("/proc/self/status").decode()
    return "NoNewPrivs:\t0" in status


@escape
def have_capabilities(told: Told) -> object:
    lines = dict(
        line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines() if ":\t" in line
    )
    return [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(lines[name], 16)]


@escape
def start_many_processes(told: Told) -> object:
    """The children wait, and die with their parent."""
    pids: list[int] = []
    ppid = os.getpid()
    try:
        while len(pids) < told["processes"] + 200:
            pid = os.fork()
            if pid == 0:
                libc.prctl(1, signal.SIGKILL)
                while os.getppid() == ppid:
                    time.sleep(5)
                os._exit(0)
            pids.append(pid)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return f"{len(pids)} processes"


@escape
def write_large_file(told: Told) -> object:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("large", "wb") as file:
        file.truncate(told["file_bytes"] + 1)
    os.unlink("large")
    return "written"


@escape
def open_many_files(told: Told) -> object:
    """What is unlinked and open is in no scan of the disk: so it has to be bounded."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] > told["open_files"]


@escape
def dump_core(told: Told) -> object:
    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


@escape
def raise_limits(told: Told) -> object:
    infinity = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (infinity, infinity))
    return "raised"


@escape
def fill_memory_of_machine(told: Told) -> object:
    """File systems in memory that can be written without bound."""
    for directory in ("/tmp", "/dev/shm", "/dev", "/", "/run", "/var/tmp"):
        path = f"{directory}/.qchat-fill-{os.getpid()}"
        try:
            fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        except OSError:
            continue
        try:
            os.posix_fallocate(fd, 0, told["tmp_bytes"] + 4096)
        except OSError:
            continue
        else:
            return directory
        finally:
            os.unlink(path)
            os.close(fd)
    return None


@escape
def leave_daemon(told: Told) -> object:
    """Double fork, own session, deaf to signals; whether it lives on, is for outside to say."""
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            check(libc.prctl(36, 1, 0, 0, 0))  # a subreaper of its own
            signal.alarm(0)
            os.execve("/bin/sleep", ["sleep", "300"], {"QCHAT_ESCAPE": told["daemon"]})
        os._exit(0)
    time.sleep(0.3)
    return None
