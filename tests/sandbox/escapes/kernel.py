"""Widening the reach into the kernel: namespaces, tracing of everything, other doors to system calls."""

import ctypes
import mmap
import os
import signal

from tests.sandbox.escapes.common import MACHINE, NUMBERS, Told, call, check, escape, in_child, libc

CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000, 0x20000000, 0x40000000
CLONE_NEWTIME = 0x80
CLONE = {"x86_64": 56, "aarch64": 220}[MACHINE]
CLONE3, USERFAULTFD = 435, {"x86_64": 323, "aarch64": 282}[MACHINE]
FSOPEN, OPEN_TREE, MOUNT_SETATTR, FANOTIFY = 430, 428, 442, {"x86_64": 300, "aarch64": 262}[MACHINE]
SETNS = {"x86_64": 308, "aarch64": 268}[MACHINE]


@escape
def unshare_user_namespace(told: Told) -> object:
    return in_child(lambda: check(libc.unshare(CLONE_NEWUSER)))


@escape
def unshare_everything(told: Told) -> object:
    return in_child(lambda: check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)))


@escape
def clone_user_namespace(told: Told) -> object:
    pid = call(CLONE, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


@escape
def clone_by_third_call(told: Told) -> object:
    """Its flags are in memory, where a filter cannot look: so the call must not exist at all."""
    arguments = (ctypes.c_uint64 * 11)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
    pid = call(CLONE3, arguments, ctypes.sizeof(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


@escape
def join_namespace(told: Told) -> object:
    fd = os.open("/proc/self/ns/user", os.O_RDONLY)
    other = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    try:
        call(SETNS, other, CLONE_NEWNS)
    finally:
        os.close(fd)
    return "joined"


@escape
def load_bpf_program(told: Told) -> object:
    arguments = (ctypes.c_uint32 * 32)(2, 4, 4, 1)  # an array of one
    return call(NUMBERS["bpf"], 0, arguments, ctypes.sizeof(arguments)) + 1


@escape
def count_events_of_processor(told: Told) -> object:
    attributes = (ctypes.c_uint32 * 32)(1, 128, 1)  # a software event
    attributes[10] = 0x60  # of this process, outside of the kernel
    return call(NUMBERS["perf_event_open"], attributes, 0, -1, -1, 0) + 1


@escape
def handle_page_faults(told: Told) -> object:
    return call(USERFAULTFD, 1) + 1  # of user mode only, which needs no privilege


@escape
def open_new_file_system(told: Told) -> object:
    return call(FSOPEN, b"tmpfs", 0) + 1


@escape
def clone_mount_tree(told: Told) -> object:
    return call(OPEN_TREE, -100, b"/", 1) + 1


@escape
def watch_whole_file_system(told: Told) -> object:
    return call(FANOTIFY, 0x200, 0) + 1  # by handles, which needs no privilege


@escape
def read_kernel_log(told: Told) -> object:
    return check(libc.klogctl(10, None, 0))  # its size


@escape
def use_numbers_of_other_processor(told: Told) -> object:
    """The door of 32-bit programs has other numbers, which a filter for 64 bits does not know."""
    if MACHINE != "x86_64":
        return None
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov eax, 288 (keyctl); xor ebx, ebx; mov ecx, -3; xor edx, edx; push/pop rbx; int 0x80; ret
    code.write(b"\x53\xb8\x20\x01\x00\x00\x31\xdb\xb9\xfd\xff\xff\xff\x31\xd2\xcd\x80\x5b\xc3")
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    return in_child(lambda: function() > 0)


@escape
def use_numbers_of_x32(told: Told) -> object:
    """The same calls once more, with a bit set."""
    if MACHINE != "x86_64":
        return None
    return in_child(lambda: call(NUMBERS["keyctl"] | 0x40000000, 0, -3, 0))


@escape
def start_32_bit_personality(told: Told) -> object:
    return libc.personality(0x0008 | 0x0400000) != -1  # READ_IMPLIES_EXEC
