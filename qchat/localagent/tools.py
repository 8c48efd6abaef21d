"""The three tools of the built-in agent."""

import os
import re
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from attrs import frozen

from qchat.localagent.memory import Memory
from qchat.localagent.screen import END_OF_LINE, GREEN, RESET, Screen, printable, write

READ_LIMIT = 64 * 1024
"""Bytes of a file that an answer shows."""
APPROVAL = (
    "error: Tool approval required but --no-interactive was specified."
    " Use --trust-all-tools to automatically approve tools."
)
_CALL = re.compile(r"/(run|write|read)(?:\s+(.*))?", re.DOTALL)
_FILE = re.compile(r"""(?:"([^"]+)"|'([^']+)'|(\S+))(?:[ \t]|\r?\n|\Z)""")


class NotTrustedError(Exception):
    """The tool runs only when it has been approved."""


class RefusedError(Exception):
    """The tool cannot do what it is asked to; the text is one sentence for the user."""


@frozen
class Call:
    """What a prompt asks a tool to do; ``argument`` is empty when there is none."""

    tool: Literal["run", "write", "read"]
    argument: str


def parse(prompt: str) -> Call | None:
    """The call of a tool that ``prompt`` is, if it is one."""
    match = _CALL.fullmatch(prompt)
    return Call(match[1], match[2] or "") if match else None  # type: ignore[arg-type]  # the pattern has them


def use(call: Call, screen: Screen, memory: Memory, *, trusted: bool) -> int:
    """Run a tool, show it as Q does, and remember it; the exit code."""
    try:
        if call.tool == "run":
            said = run(call.argument, screen, trusted=trusted)
        elif call.tool == "write":
            said = write_file(call.argument, screen, trusted=trusted)
        else:
            said = read_file(call.argument, screen)
    except RefusedError as error:
        print(f"Tool validation failed: {error}", file=sys.stderr)
        said = str(error)
    except NotTrustedError:
        print(APPROVAL, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: Interrupted while a tool was running", file=sys.stderr)
        return 1
    screen.text(said)
    screen.end_text()
    memory.add(f"/{call.tool} {call.argument}", said)
    return 0


def run(command: str, screen: Screen, *, trusted: bool) -> str:
    """Run a command; its output is passed on as it comes, as it is."""
    if not command:
        raise RefusedError("Usage: /run COMMAND")
    about = f"I will run the following shell command: \n{GREEN}{printable(command)}\n{RESET}"
    screen.begin_tool("execute_bash", about, trusted=trusted)
    if not trusted:
        raise NotTrustedError
    write("\n")
    started = time.monotonic()
    status = execute(command)
    screen.end_tool(time.monotonic() - started)
    return f"The command ended by signal {-status}." if status < 0 else f"The command exited with {status}."


def execute(command: str) -> int:
    """Run a command to its end; what it has started in the background is not waited for."""
    shell = shutil.which("bash") or "/bin/sh"
    child = subprocess.Popen(
        [shell, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    assert child.stdout is not None
    try:
        relay(child.pid, child.stdout.fileno())
        return child.wait()
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGKILL)
        raise


def relay(pid: int, output: int) -> None:
    """Pass on what comes until the process has ended; the end of a line is added where one is missing."""
    last = b"\n"
    ended = os.pidfd_open(pid)
    os.set_blocking(output, False)
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(output, selectors.EVENT_READ)
        running = True
        while running:
            # Looked at before reading: what was written before the end is read.
            ready = {key.fd for key, _ in selector.select()}
            running = ended not in ready
            while data := read_available(output):
                write(data)
                last = data[-1:]
            if data == b"" and output in selector.get_map():
                selector.unregister(output)
    os.close(ended)
    if last != b"\n":
        write("\n")


def read_available(fd: int) -> bytes | None:
    """What can be read now: ``b""`` at the end, None when there is nothing yet."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None


def write_file(argument: str, screen: Screen, *, trusted: bool) -> str:
    """Write a file, making its directories; the text is written as it is."""
    name, text = split_file(argument, "/write FILE TEXT")
    shown = printable(name)
    about = f"Path: {GREEN}{shown}{RESET}\n\n"
    if not trusted:
        screen.begin_tool("fs_write", about, trusted=False)
        raise NotTrustedError
    started = time.monotonic()
    path = Path(name)
    verb = "Replacing" if path.exists() else "Creating"
    data = text.encode(errors="surrogateescape")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise RefusedError(f"{shown} cannot be written: {error.strerror}") from None
    screen.begin_tool("fs_write", about, trusted=True)
    for number, line in enumerate(text.splitlines(), 1):
        write(f"\x1b[49m{GREEN}+{number:>5}{RESET}:{GREEN}\x1b[49m {printable(line)}\n{RESET}")
    write(f"\x1b[K\n{verb}: {GREEN}{shown}{RESET}\n")
    screen.end_tool(time.monotonic() - started)
    return f"Wrote {len(data)} bytes to {shown}."


def read_file(argument: str, screen: Screen) -> str:
    """Read a file; the answer shows what is in it, up to READ_LIMIT."""
    name, rest = split_file(argument, "/read FILE")
    if rest:
        raise RefusedError("Usage: /read FILE, with quotes around a name that has spaces")
    shown = printable(name)
    started = time.monotonic()
    data, size = read_start(name, shown)
    about = f"Reading file: {GREEN}{shown}{RESET}, all lines\n"
    screen.begin_tool("fs_read", about, trusted=True)
    write(f"{GREEN} ✓ {RESET}Successfully read {size} bytes from {shown}\n")
    screen.end_tool(time.monotonic() - started)
    content = data.decode(errors="replace").replace("\r\n", "\n")
    fence = max(re.findall(r"`{3,}", content), key=len, default="``") + "`"
    cut = f"\n\nThese are the first {len(data)} bytes of {size}." if len(data) < size else ""
    return f"{fence}\n{content.removesuffix(END_OF_LINE[-1])}\n{fence}{cut}"


def read_start(name: str, shown: str) -> tuple[bytes, int]:
    """The first READ_LIMIT bytes of a regular file, and its size."""
    try:
        # Without waiting: a pipe that nobody writes to would never open.
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise RefusedError(f"{shown} is not a file")
            return file.read(READ_LIMIT), facts.st_size
    except OSError as error:
        raise RefusedError(f"{shown} cannot be read: {error.strerror}") from None


def split_file(argument: str, usage: str) -> tuple[str, str]:
    """The file name, which may be quoted, and all that follows it."""
    match = _FILE.match(argument)
    if not match:
        raise RefusedError(f"Usage: {usage}")
    return match[1] or match[2] or match[3], argument[match.end() :]
