"""The command line of ``q chat --no-interactive``, answered on this machine.

The prompt comes from stdin. ``/run COMMAND``, ``/write FILE TEXT`` and ``/read FILE`` are tools; anything
else is for the language model. Exits 0 when there is an answer and when SIGINT cuts one short, 1 when
there is none or SIGINT ends a tool, 2 for a wrong command line. Q does the same.
"""

import argparse
import os
import signal
import sys

import qchat
from qchat.localagent import tools
from qchat.localagent.memory import Memory
from qchat.localagent.screen import Screen

NOT_INSTALLED = (
    "The local language model is not installed: `qchat-admin local-model install` gets it;"
    " `/run COMMAND`, `/write FILE TEXT` and `/read FILE` work without."
)


def main() -> None:
    """Answer one prompt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the parent ignores it
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody reads any more: end like any other program
    options = parse(sys.argv[1:])
    prompt = (options.input or sys.stdin.buffer.read().decode(errors="replace")).strip()
    if not prompt:
        sys.exit("error: Input must be supplied when running in non-interactive mode")
    try:
        memory = Memory.of_directory(resume=options.resume)
        code = answer(prompt, options, Screen(), memory)
    except KeyboardInterrupt:
        code = 0  # like Q; the exchange is not remembered
    except (OSError, RuntimeError) as error:  # no working directory, no HOME, no process to be had
        print(f"error: {error}", file=sys.stderr)
        code = 1
    sys.stderr.flush()
    # Without the interpreter's own end: the engine's threads would be waited for.
    os._exit(code)


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line, of which some options are for compatibility only."""
    parser = argparse.ArgumentParser(prog="qchat-localagent", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"qchat-localagent {qchat.__version__}")
    chat = parser.add_subparsers(required=True).add_parser("chat", allow_abbrev=False)
    chat.add_argument("input", nargs="?", help="the prompt; from stdin without it")
    chat.add_argument("--no-interactive", action="store_true", required=True)
    chat.add_argument("-r", "--resume", action="store_true", help="go on with this directory's conversation")
    chat.add_argument("-a", "--trust-all-tools", action="store_true", help="run tools without asking")
    chat.add_argument("--wrap", choices=("always", "never", "auto"), help="accepted; lines are never wrapped")
    return parser.parse_args(argv)


def answer(prompt: str, options: argparse.Namespace, screen: Screen, memory: Memory) -> int:
    """Write the answer, and remember it; the exit code."""
    if call := tools.parse(prompt):
        return tools.use(call, screen, memory, trusted=options.trust_all_tools)
    # Only here: the engine takes longer to import than a tool to run.
    from qchat.localagent import model  # noqa: PLC0415

    try:
        said = model.answer(memory.messages, prompt, screen.text)
    except model.NotInstalledError:
        screen.text(NOT_INSTALLED)
        screen.end_text()
        return 0
    except model.ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    screen.end_text()
    memory.add(prompt, said)
    return 0


if __name__ == "__main__":
    main()
