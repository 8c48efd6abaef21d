"""``token``: who may use the service. The file is changed in place; a running server sees it at once."""

import argparse
import os
import re
import time
from typing import Any

from qchat.adapters.auditlog import AuditLog
from qchat.adapters.tokens import NAME, Token, TokensError, TokensFile, digest, is_token_name, new_secret
from qchat.admin.output import Output, moment
from qchat.model.principal import MAX_NAME_CHARS, is_principal_name
from qchat.settings import Settings, SettingsError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_commands(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The subcommands of ``token``."""
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "Make a token and show it, this once"
    action = actions.add_parser("add", parents=[common], help=text, description=f"{text}.")
    action.add_argument("name", type=_name, metavar="NAME", help="what the token is called, such as laptop")
    action.add_argument("--principal", type=_principal, help="whose sessions it sees (default: NAME)")
    action.add_argument("--role", choices=["user", "admin"], help="admin sees all sessions (default: user)")
    action.add_argument(
        "--expires", type=_seconds, metavar="30d", help="how long it is good: a number of s, m, h, d or w"
    )
    action.add_argument(
        "--rotate", action="store_true", help="a new secret for a token that there is; the old one is over"
    )
    action.set_defaults(run=add)
    text = "List the tokens"
    action = actions.add_parser("list", parents=[common], help=text, description=f"{text}.")
    action.set_defaults(run=list_tokens)
    text = "End a token, and the logins that were made with it"
    action = actions.add_parser("revoke", parents=[common], help=text, description=f"{text}.")
    action.add_argument("name", metavar="NAME")
    action.set_defaults(run=revoke)


def add(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    file, now = _file(settings), time.time()
    old = file.find(args.name) if args.rotate else None
    if args.rotate and old is None:
        raise TokensError(f"there is no token {args.name!r}")
    expires = now + args.expires if args.expires else None
    if old and not args.expires and old.expires is not None:
        expires = now + (old.expires - old.created)  # as long as before
    secret = new_secret()
    token = Token(
        name=args.name,
        principal=args.principal or (old.principal if old else args.name),
        role=args.role or (old.role if old else "user"),
        sha256=digest(secret),
        created=now,
        expires=expires,
    )
    file.add(token, replace=args.rotate)
    _audit(settings, "rotate_token" if args.rotate else "add_token", token)
    out.data({"token": secret, **_json(token, now)})
    out.line(secret)
    until = f", until {moment(token.expires)}" if token.expires else ""
    out.note(f"{token.name}: {token.role} {token.principal}{until}. It is not shown again.")
    return 0


def list_tokens(_args: argparse.Namespace, out: Output, settings: Settings) -> int:
    now = time.time()
    tokens = _file(settings).load()
    out.data({"tokens": [_json(token, now) for token in tokens]})
    out.table(
        ("NAME", "PRINCIPAL", "ROLE", "CREATED", "EXPIRES", "STATE"),
        [
            (
                *(token.name, token.principal, token.role, moment(token.created), moment(token.expires)),
                "expired" if token.expired(now) else "valid",
            )
            for token in tokens
        ],
    )
    return 0


def revoke(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    token = _file(settings).revoke(args.name)
    _audit(settings, "revoke_token", token)
    out.data(_json(token, time.time()))
    out.line(f"{token.name} is revoked; the sessions stay {token.principal}'s")
    return 0


def _file(settings: Settings) -> TokensFile:
    if settings.tokens_file is None:
        raise SettingsError("QCHAT_TOKENS_FILE is not set: it names the file, for the server as well")
    return TokensFile(settings.tokens_file)


def _json(token: Token, now: float) -> dict[str, Any]:
    return {
        "name": token.name,
        "principal": token.principal,
        "role": token.role,
        "created": token.created,
        "expires": token.expires,
        "expired": token.expired(now),
    }


def _audit(settings: Settings, action: str, token: Token) -> None:
    path = settings.audit_path(settings.sessions_base_dir / ".qchat")
    if path and path.parent.is_dir():
        AuditLog(path).write(
            action,
            outcome="ok",
            token=token.name,
            principal=token.principal,
            via=f"admin tool, uid {os.getuid()}",
        )


def _name(text: str) -> str:
    if not is_token_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it takes {NAME.pattern}")
    return text


def _principal(text: str) -> str:
    if not is_principal_name(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed: it takes 1 to {MAX_NAME_CHARS} printable characters"
        )
    return text


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it takes a time such as 30d, 12h or 90m")
    return float(int(match[1]) * SECONDS[match[2]])
