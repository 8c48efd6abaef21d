"""The tools of the stand-in: their cards as the real CLI prints them, and what they do."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

GREEN, MAGENTA, CYAN, RESET = "\x1b[38;5;10m", "\x1b[38;5;13m", "\x1b[38;5;12m", "\x1b[0m"
DOTS = " ⋮ \n"

Emit = Callable[[str], None]
Arguments = dict[str, Any]


class ToolError(Exception):
    """The tool does not exist, or cannot do what it is asked."""


def describe(name: str, arguments: Arguments) -> str:
    """What the card says behind its bullet."""
    summary = arguments.get("summary")
    purpose = f"{DOTS} ↳ {CYAN}Purpose: {RESET}{summary}\n" if summary else ""
    if name == "execute_bash":
        command = arguments["command"]
        gap = "\n" if len(command) > 20 else ""
        return f"I will run the following shell command: {gap}{GREEN}{command}\n{RESET}{purpose}\n"
    if name == "fs_write":
        lines = arguments["file_text"].splitlines(keepends=True)
        diff = "".join(
            f"\x1b[49m{GREEN}+    {number}{RESET}:{GREEN}\x1b[49m {line}{RESET}"
            for number, line in enumerate(lines, 1)
        )
        return f"Path: {GREEN}{arguments['path']}{RESET}\n\n{diff}\x1b[K\n{purpose}"
    if name == "fs_read":
        return f"Reading file: {GREEN}{arguments['operations'][0]['path']}{RESET}, all lines"
    if name == "use_aws":
        return "Running aws cli command:\n\nService name: s3\nParameters: \nRegion: us-east-1"
    raise ToolError(f'No tool with "{name}" is found')


def card(name: str, description: str, *, trusted: bool) -> str:
    """The announcement of a tool."""
    sign = "\x1b[38;5;2m (trusted)\x1b[39m" if trusted else RESET + RESET
    return f"{MAGENTA}🛠️  Using tool: {name}{sign}{RESET}\n{DOTS} ● {description}"


def run(name: str, arguments: Arguments, emit: Emit) -> object:
    """Do it, and print what it prints; the result as the model gets it."""
    started = time.monotonic()
    result = _WORK[name](arguments, emit)
    took = time.monotonic() - started
    seconds = f"{int(took)}.{int(took * 1000) % 1000}"
    emit(f"{DOTS}{GREEN}\x1b[1m ● Completed in {seconds}s{RESET}\n\n")
    return result


def _bash(arguments: Arguments, emit: Emit) -> object:
    process = subprocess.Popen(
        ["bash", "-c", arguments["command"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    out, end, output = process.stdout.fileno(), os.pidfd_open(process.pid), b""
    os.set_blocking(out, False)
    ended = False
    while not ended:
        ended = end in select.select([out, end], [], [])[0]  # whoever else holds the pipe is not waited for
        with suppress(BlockingIOError):
            while data := os.read(out, 65536):
                output += data
                os.write(1, data)
            if not ended:
                os.waitid(os.P_PIDFD, end, os.WEXITED | os.WNOWAIT)
    if not output.endswith(b"\n"):
        os.write(1, b"\n" if output else b"")
    text = output.decode(errors="replace").removesuffix("\n")
    return {"exit_status": str(process.wait()), "stdout": text, "stderr": ""}


def _write(arguments: Arguments, emit: Emit) -> object:
    emit(f"Creating: {GREEN}{arguments['path']}{RESET}\n")
    with open(arguments["path"], "w", encoding="utf-8") as file:
        file.write(arguments["file_text"])
    return ""


def _read(arguments: Arguments, emit: Emit) -> object:
    path = arguments["operations"][0]["path"]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    emit(f"\n{GREEN} ✓ {RESET}Successfully read {len(text)} bytes from {path}\n")
    return text


def _aws(arguments: Arguments, emit: Emit) -> object:
    raise ToolError("Could not connect to the endpoint URL")


_WORK: dict[str, Callable[[Arguments, Emit], object]] = {
    "execute_bash": _bash,
    "fs_write": _write,
    "fs_read": _read,
    "use_aws": _aws,
}


def parse(line: str) -> tuple[str, Arguments]:
    """``NAME JSON``."""
    name, _, arguments = line.partition(" ")
    return name, json.loads(arguments or "{}")
