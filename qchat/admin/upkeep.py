"""``check``, ``backup``, ``restore`` and ``local-model``."""

import argparse
from pathlib import Path

from attrs import asdict

from qchat.adapters.backup import backup as make_backup
from qchat.adapters.check import check as find_faults
from qchat.adapters.control import ownership
from qchat.adapters.restore import RestoreError
from qchat.adapters.restore import restore as restore_backup
from qchat.adapters.statedir import AlreadyRunning, StateDir
from qchat.adapters.switch import complete
from qchat.admin.output import Output, plural, size
from qchat.localagent.install import install
from qchat.settings import Settings


def check(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    state = StateDir.find(settings.sessions_base_dir)
    with ownership(state) as control, out.progress() as progress:
        if control and args.repair:
            raise AlreadyRunning(f"a server runs in {state.base}: stop it first, to repair what is in it")
        findings = find_faults(state, alone=control is None, repair=args.repair, progress=progress)
    faults = [found for found in findings if not found.harmless and not found.repaired]
    out.data({"ok": not faults, "findings": [asdict(found) for found in findings]})
    for found in findings:
        out.line(found.what)
        if found.repaired:
            out.line(f"    repaired: {found.repaired}")
        elif found.harmless:
            out.line("    harmless: the next server that starts takes care of it")
        else:
            out.line(f"    {found.advice or 'qchat-admin check --repair puts it right'}")
    out.line(f"{plural(len(faults), 'fault')}" if faults else "everything fits")
    return int(bool(faults))


def backup(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    state = StateDir.find(settings.sessions_base_dir)
    with out.progress() as progress:
        made = make_backup(state, Path(args.file), homes=args.homes, progress=progress)
    out.data({**asdict(made), "path": str(made.path), "left_out": list(made.left_out)})
    for sentence in made.left_out:
        out.complain(f"not in the backup: {sentence}")
    out.line(
        f"{plural(made.sessions, 'session')}, {plural(made.turns, 'turn')} and {plural(made.files, 'file')}"
        f" in {made.path} ({size(made.bytes)})"
    )
    if made.deleted_meanwhile:
        out.line(f"{plural(made.deleted_meanwhile, 'session')} deleted meanwhile, and not in it")
    return 0


def restore(args: argparse.Namespace, out: Output, settings: Settings) -> int:
    archive = Path(args.file)
    if not archive.is_file():
        raise RestoreError(f"{archive} is not a file")
    state = StateDir.open(settings.sessions_base_dir)
    state.lock()
    try:
        complete(state)
        with out.progress() as progress:
            done = restore_backup(state, archive, move_aside=args.move_aside, progress=progress)
    finally:
        state.unlock()
    out.data({**asdict(done), "aside": str(done.aside) if done.aside else None})
    out.line(f"{plural(done.sessions, 'session')} and {plural(done.turns, 'turn')} restored to {state.base}")
    if done.aside:
        out.line(f"what was there before is in {done.aside}; delete it when you do not need it")
    return 0


def local_model(_: argparse.Namespace, out: Output, __: Settings) -> int:
    if not out.as_json:
        out.line("installing the local language model: about 130 MB, once")
    install()
    out.data({"installed": True})
    out.line("installed; QCHAT_AGENT=local uses it, as does auto where there is neither q nor kiro-cli")
    return 0
