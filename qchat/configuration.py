"""What can be set, told three ways: as help, as a page, and as what is in force. From the settings alone."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from qchat.settings import Settings, in_force, variables, written

NOT_OURS = {"QCHAT_PYTHON", "QCHAT_TEST_ROUNDS"}
"""Variables of the programs around the service."""
PAGE = """\
# Configuration

Settings are environment variables, read once at the start. `qchat-server --env-file FILE` reads a file of
`NAME=value` lines as well; what the environment says goes before the file, and the file before the default.
An empty value is the same as none. A value that is not allowed stops the start with one line that names the
variable, the value and what is allowed, and with exit code 2.

```console
$ qchat-server --check                   # what is in force, and where each value comes from
$ qchat-server --env-file qchat.env --check
$ qchat-server --help
```

A variable that begins with `QCHAT_` and is not known is pointed out at the start and by `--check`, with the
name that it is nearest to.

| variable | default | takes | meaning |
|---|---|---|---|
"""
PAGE_END = """
This page is made from `qchat/settings.py`: `bin/qchat-server --help-markdown > docs/configuration.md`.
"""


def as_help() -> str:
    """One paragraph a variable, for ``--help``."""
    return "\n".join(_paragraph(variable) for variable in variables())


def as_markdown() -> str:
    """The page ``docs/configuration.md``."""
    rows = (
        f"| `{name}` | {f'`{default}`' if default else ''} | {_cell(takes)} | {_cell(meaning)} |\n"
        for name, default, takes, meaning in map(_facts, variables())
    )
    return PAGE + "".join(rows) + PAGE_END


def report(
    settings: Settings, *, defaults: Mapping[str, str], file: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[str]:
    """Lines for ``--check``: every variable, its value, and where that comes from.

    :param defaults: what takes the place of a default.
    :param file: what a file says, and above it the environment.
    """
    known = {**defaults} | {name: value for name, value in _defaults().items() if not defaults.get(name)}
    for name, value in in_force(settings).items():
        source = "default" if value == known[name] else "follows from others"
        if file.get(name, "").strip():
            source = "environment" if environ.get(name, "").strip() else "file"
        yield f"{name:24} {value or '-':32} {source}"
    yield from unknown(file)


def unknown(env: Mapping[str, str]) -> list[str]:
    """A sentence for every variable that looks like ours and is not."""
    known = {variable.metadata["name"] for variable in variables()}
    found = sorted(name for name in env if name.startswith("QCHAT_") and name not in known | NOT_OURS)
    return [f"{name} is not known{_nearest(name, known)}" for name in found]


def _nearest(name: str, known: set[str]) -> str:
    nearest = get_close_matches(name, known, n=1, cutoff=0.6)
    return f": is {nearest[0]} meant?" if nearest else ""


def _defaults() -> dict[str, str]:
    return {name: default for name, default, *_ in map(_facts, variables())}


def _facts(variable: "attrs.Attribute[Any]") -> tuple[str, str, str, str]:
    told = variable.metadata
    return told["name"], written(told["name"], variable.default), told["allowed"], told["meaning"]


def _paragraph(variable: "attrs.Attribute[Any]") -> str:
    name, default, takes, meaning = _facts(variable)
    facts = [takes and f"takes {takes}", default and f"default {default}"]
    return "\n".join(
        filter(None, (f"  {name}", f"      {meaning}", f"      {'; '.join(filter(None, facts))}"))
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
