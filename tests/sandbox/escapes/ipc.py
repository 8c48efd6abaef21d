"""Reaching others by the kernel's objects that are neither files nor sockets of the internet."""

import ctypes
import fcntl
import os
import pty
import socket

from tests.sandbox.escapes.common import MACHINE, NUMBERS, Told, call, check, escape, libc

KEYCTL_READ, KEYCTL_SEARCH, KEYCTL_GET_KEYRING_ID, KEYCTL_DESCRIBE = 11, 10, 0, 6
SESSION_KEYRING, USER_KEYRING = -3, -4
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
MQ_OPEN = {"x86_64": 240, "aarch64": 180}[MACHINE]


@escape
def attach_shared_memory(told: Told) -> object:
    return check(libc.shmget(told["shared_memory"], 0, 0)) + 1


@escape
def use_semaphore(told: Told) -> object:
    return check(libc.semget(told["shared_memory"], 0, 0)) + 1


@escape
def use_message_queue(told: Told) -> object:
    return check(libc.msgget(told["shared_memory"], 0)) + 1


@escape
def open_posix_queue(told: Told) -> object:
    return call(MQ_OPEN, told["queue"].encode(), os.O_RDONLY | os.O_NONBLOCK, 0, None) + 1


@escape
def connect_to_abstract_socket(told: Told) -> object:
    return _connect_unix("\0" + told["abstract"])


@escape
def send_to_abstract_socket(told: Told) -> object:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        return client.sendto(b"x", "\0" + told["abstract_datagrams"])


@escape
def connect_to_socket_of_service(told: Told) -> object:
    return _connect_unix(told["socket"])


@escape
def connect_to_socket_of_other_session(told: Told) -> object:
    return _connect_unix(told["other_socket"])


def _connect_unix(address: str) -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(address)
        return address


@escape
def read_keyring_of_service(told: Told) -> object:
    """The agent would inherit the session keyring of whoever started it."""
    found = call(NUMBERS["keyctl"], KEYCTL_SEARCH, SESSION_KEYRING, b"user", told["key"].encode(), 0)
    buffer = ctypes.create_string_buffer(100)
    return buffer.raw[: call(NUMBERS["keyctl"], KEYCTL_READ, found, buffer, 100)]


@escape
def talk_by_user_keyring(told: Told) -> object:
    """All sessions' agents are one user outside, and that has one keyring."""
    return call(NUMBERS["add_key"], b"user", b"qchat-escape", b"x", 1, USER_KEYRING)


@escape
def push_into_terminal(told: Told) -> object:
    """What is pushed into a terminal is read by the shell that the service was started from."""
    _, terminal = pty.openpty()
    if os.fork() == 0:
        os.setsid()
        fcntl.ioctl(terminal, 0x540E, 0)  # make it our controlling terminal
        try:
            fcntl.ioctl(terminal, TIOCSTI, b"x")
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    _, status = os.wait()
    return os.waitstatus_to_exitcode(status) == 0


@escape
def push_with_disguised_number(told: Told) -> object:
    """The kernel looks at the lower half of the number only; a filter that compares the whole is blind."""
    _, terminal = pty.openpty()
    if os.fork() == 0:
        os.setsid()
        fcntl.ioctl(terminal, 0x540E, 0)
        number = 16 if MACHINE == "x86_64" else 29
        result = libc.syscall(
            ctypes.c_long(number),
            ctypes.c_long(terminal),
            ctypes.c_long(TIOCSTI | 1 << 32),
            ctypes.c_char_p(b"x"),
        )
        os._exit(0 if result == 0 else 1)
    _, status = os.wait()
    return os.waitstatus_to_exitcode(status) == 0


@escape
def use_terminal_of_service(told: Told) -> object:
    return os.open("/dev/tty", os.O_RDWR) + 1
