"""The command line: what there is, and what each command's function gets.

Exit codes: 0 when all is well, 1 when something failed, 2 for a command line or setting that is wrong.
"""

import argparse
import io
import math
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence

import qchat
from qchat.adapters.backup import BackupError
from qchat.adapters.control import ControlError
from qchat.adapters.restore import RestoreError
from qchat.adapters.statedir import AlreadyRunning
from qchat.adapters.tokens import TokensError
from qchat.admin import doctor, sessions, tokens, upkeep
from qchat.admin.output import Output
from qchat.errors import QchatError
from qchat.localagent.install import InstallError
from qchat.model.session import is_session_id
from qchat.settings import Settings, SettingsError

Command = Callable[[argparse.Namespace, Output, Settings], int]
EXPECTED = (
    *(AlreadyRunning, BackupError, ControlError, InstallError, QchatError, RestoreError, TokensError),
    OSError,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    args = parser().parse_args(argv)
    out = Output(getattr(args, "json", False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show it all
    # So that what was begun is cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        code = _run(args, out)
        sys.stdout.flush()
    except BrokenPipeError:  # head(1) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        out.complain("interrupted")
        code = 1
    sys.exit(code)


def _run(args: argparse.Namespace, out: Output) -> int:
    try:
        if args.command == "doctor":  # says itself what is wrong with the settings
            return doctor.doctor(out)
        command: Command = args.run
        return command(args, out, Settings.from_env())
    except SettingsError as error:
        return _failed(out, str(error), 2)
    except BrokenPipeError:
        raise
    except sqlite3.Error as error:
        return _failed(out, f"the database cannot be used: {error}; see qchat-admin check", 1)
    except EXPECTED as error:
        details = getattr(error, "details", None)
        return _failed(out, f"{error}: {details}" if details else str(error), 1)


def _failed(out: Output, text: str, code: int) -> int:
    out.complain(text)
    out.data({"error": text})
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs"
    )
    top = argparse.ArgumentParser(
        prog="qchat-admin",
        parents=[common],
        description="Administer the sessions of qchat, with the server running or stopped."
        " SESSIONS_BASE_DIR names their directory.",
    )
    top.add_argument("--version", action="version", version=f"qchat {qchat.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[common], help=text, description=f"{text}.")
        command.set_defaults(run=run)
        return command

    add("list", sessions.list_sessions, "List the session directories, the one changed last first")
    command = add("detail", sessions.detail, "Show a session with its files and turns")
    command.add_argument("session_id", type=_session_id, metavar="ID")
    command = add("cleanup-empty", sessions.clean, "Remove empty directories of sessions that have expired")
    _add_dry_run(command)
    command = add("cleanup-old", sessions.clean, "Remove old directories of sessions that have expired")
    command.add_argument(
        "--hours", type=_hours, default=24.0, help="how long ago they were last used (default: 24)"
    )
    _add_dry_run(command)
    command = add("export", sessions.export, "Write what is known of all directories to a file, as JSON")
    command.add_argument("file", metavar="FILE", help="- is standard output")
    add("doctor", doctor.doctor, "Tell whether everything is in order, and what to do where it is not")
    command = add("check", upkeep.check, "Check rows, transcripts and directories against each other")
    command.add_argument(
        "--repair", action="store_true", help="put right what is safe, with the server stopped"
    )
    command = add("backup", upkeep.backup, "Write everything to a file, also while the server runs")
    command.add_argument("file", metavar="FILE", help="a .tar.gz; keep it as safe as a password")
    command.add_argument(
        "--no-homes",
        dest="homes",
        action="store_false",
        help="without the agents' homes: no logins, and no memory of conversations either",
    )
    command = add("restore", upkeep.restore, "Put back what a backup holds, with the server stopped")
    command.add_argument("file", metavar="FILE")
    command.add_argument(
        "--move-aside", action="store_true", help="keep the sessions that are there in a directory beside"
    )
    tokens.add_commands(add("token", tokens.list_tokens, "Say who may use the service"), common)
    command = add("local-model", upkeep.local_model, "Install the language model of the built-in agent")
    command.add_argument("action", choices=["install"])
    return top


def _add_dry_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _session_id(text: str) -> str:
    if not is_session_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no session id: it takes a UUID in lower case")
    return text


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not (math.isfinite(hours) and hours >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it takes a number of at least 0")
    return hours
