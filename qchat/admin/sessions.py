"""``list``, ``detail``, ``export`` and the cleanups: what there is, and what may go."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import structlog

from qchat import log as logging
from qchat.adapters.directories import SessionDirectoryManager
from qchat.admin.output import Output, moment, plural, shown, size
from qchat.errors import SessionNotFound
from qchat.model.cleanup import DONE, FAILED, Cleaned, Rule
from qchat.model.turn import Turn
from qchat.settings import Settings

MOST_SHOWN = 200
"""Files and turns that are shown on a terminal; JSON has all."""
MOST_TURNS = 1_000_000
PROMPT_CHARS = 60
log = structlog.get_logger()


def list_sessions(_: argparse.Namespace, out: Output, settings: Settings) -> int:
    with out.progress() as progress:
        found = SessionDirectoryManager(settings.sessions_base_dir, progress).list_session_directories()
    out.data(found)
    human = out.on_terminal
    rows = [
        [
            one["session_id"],
            one["state"],
            str(one["file_count"]),
            size(one["size_bytes"]) if human else str(one["size_bytes"]),
            moment(one["modified_time"]),
            one.get("error") or one.get("title", ""),
        ]
        for one in found
    ]
    if rows:
        out.table(("SESSION", "STATE", "FILES", "SIZE", "CHANGED", ""), rows)
    if human:
        total = sum(one["size_bytes"] for one in found)
        out.line(f"{plural(len(found), 'directory')}, {size(total)} in {settings.sessions_base_dir}")
    return int(any("error" in one for one in found))


def detail(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    manager = SessionDirectoryManager(settings.sessions_base_dir)
    info = manager.get_directory_info(args.session_id)
    with manager.store() as store:
        row = store.find_session(args.session_id) if store else None
        turns = store.turns(args.session_id, limit=MOST_TURNS) if store else []
    if info is None and row is None:
        raise SessionNotFound(en=f"there is no session {args.session_id} in {settings.sessions_base_dir}")
    found: dict[str, Any] = {"session_id": args.session_id, "files": [], **(info or {"state": "lost"})}
    found["turns"] = [_turn(turn) for turn in turns]
    out.data(found)
    _print_detail(out, found)
    return 0 if info else 1


def _print_detail(out: Output, found: dict[str, Any]) -> None:
    out.line(f"session   {found['session_id']} ({found['state']})")
    if "path" not in found:
        out.line("path      its directory is not there; see qchat-admin check")
    else:
        out.line(f"path      {found['path']}")
        out.line(f"created   {moment(found['created_time'])}")
        out.line(f"changed   {moment(found['modified_time'])}")
        out.line(f"files     {found['file_count']}, {size(found['size_bytes'])}")
    if found.get("title"):
        out.line(f"title     {found['title']}")
    files, turns = found["files"], found["turns"]
    if files:
        out.line("")
        rows = [[one["path"], size(one["size"]), moment(one["modified_time"])] for one in files[:MOST_SHOWN]]
        out.table(("FILE", "SIZE", "CHANGED"), rows)
        if len(files) > MOST_SHOWN or not found["files_complete"]:
            out.line(f"... {MOST_SHOWN} of {found['file_count']} files; --json has more")
    if turns:
        out.line("")
        rows = [
            [
                str(one["turn"]),
                one["state"],
                moment(one["created_at"]),
                "-" if one["seconds"] is None else f"{one['seconds']:.1f} s",
                size(one["bytes"]),
                shown(one["prompt"].partition("\n")[0])[:PROMPT_CHARS],
            ]
            for one in turns[-MOST_SHOWN:]
        ]
        if len(turns) > MOST_SHOWN:
            out.line(f"the last {MOST_SHOWN} of {len(turns)} turns; --json has all")
        out.table(("TURN", "STATE", "BEGUN", "TOOK", "OUTPUT", "PROMPT"), rows)


def _turn(turn: Turn) -> dict[str, Any]:
    end = turn.ending
    return {
        "turn": turn.number,
        "state": turn.state,
        "prompt": turn.prompt,
        "request_id": turn.request_key,
        "created_at": turn.created,
        "started_at": turn.started,
        "ended_at": end.ended if end else None,
        "seconds": turn.seconds,
        "exit": end.exit if end else None,
        "bytes": (end.bytes or 0) if end else 0,
        "sha256": end.sha256 if end else None,
        "code": end.code if end else None,
        "detail": end.detail if end else None,
    }


def export(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    with out.progress() as progress:
        manager = SessionDirectoryManager(settings.sessions_base_dir, progress)
        if args.file == "-":
            _write_export(sys.stdout, manager)
            return 0
        target = Path(args.file)
        with _replacing(target) as file:
            count = _write_export(file, manager)
    out.data({"file": str(target), "session_count": count})
    out.line(f"{plural(count, 'directory')} described in {target}")
    return 0


def _write_export(file: IO[str], manager: SessionDirectoryManager) -> int:
    """One at a time: all their files together may be more than fits in memory."""
    count = 0
    header = {"exported_at": time.time(), "base_directory": str(manager.state.base)}
    file.write(json.dumps(header, ensure_ascii=False)[:-1] + ', "sessions": [')
    for count, one in enumerate(manager.describe_session_directories(), 1):
        file.write(("\n" if count == 1 else ",\n") + json.dumps(one, ensure_ascii=False))
    file.write(f'\n], "session_count": {count}}}\n')
    return count


@contextmanager
def _replacing(target: Path) -> Iterator[IO[str]]:
    """The file that is there stays until the new one is complete."""
    written = target.with_name(f".{target.name[:200]}.{os.getpid()}.tmp")
    try:
        with open(written, "x", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and not target.is_file():
            raise OSError(f"{target} is not a regular file")
        written.replace(target)
    finally:
        with suppress(FileNotFoundError):
            written.unlink()


def clean(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    rule = Rule("empty") if args.command == "cleanup-empty" else Rule("old", args.hours)
    with out.progress() as progress:
        manager = SessionDirectoryManager(settings.sessions_base_dir, progress)
        cleaned = manager.clean(rule, dry_run=args.dry_run)
    if not args.dry_run and not cleaned.by_service:
        _log(rule, cleaned, settings)
    out.data(
        {
            "dry_run": args.dry_run,
            "count": len(cleaned.removed),
            "removed": list(cleaned.removed),
            "kept": dict(cleaned.kept),
            "failed": dict(cleaned.failed),
        }
    )
    what = "would remove" if args.dry_run else "removed"
    for name in cleaned.removed:
        out.line(f"{what} {name}")
    for name, why in cleaned.kept:
        out.line(f"kept {name}: {why}")
    for name, why in cleaned.failed:
        out.complain(f"{name}: {why}")
    out.line(f"{what} {plural(len(cleaned.removed), 'directory')}")
    return int(bool(cleaned.failed))


def _log(rule: Rule, cleaned: Cleaned, settings: Settings) -> None:
    """What the tool did itself is told where the service would have told it."""
    if settings.log_file is None:
        return
    logging.configure(settings, stderr=False)
    for name in cleaned.removed:
        log.info(DONE[rule.kind], session_id=name)
    for name, why in cleaned.failed:
        log.error(FAILED[rule.kind], session_id=name, error=why)
