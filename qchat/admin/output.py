"""What the tool prints: JSON for programs, plain lines in a pipe, tables and progress on a terminal."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from qchat.adapters.progress import Progress, unseen
from qchat.adapters.workspace import displayed

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@frozen
class Output:
    """Results go to stdout, progress and complaints to stderr."""

    as_json: bool

    @property
    def on_terminal(self) -> bool:
        return sys.stdout.isatty() and not self.as_json

    def data(self, data: Any) -> None:
        """The whole result, when JSON was asked for."""
        if self.as_json:
            print(json.dumps(data, ensure_ascii=False, indent=2))

    def line(self, text: str) -> None:
        """One line of it, otherwise."""
        if not self.as_json:
            print(shown(text))

    def note(self, text: str) -> None:
        """What a reader should know, and a program that reads the result need not."""
        if not self.as_json:
            print(shown(text), file=sys.stderr)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table on a terminal; in a pipe a line for each row, without titles, separated by tabs."""
        if self.as_json:
            return
        if not self.on_terminal:
            for row in rows:
                print("\t".join(map(shown, row)))
            return
        # Only now, because it takes longer to import than most of what the tool does.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(*titles, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(shown(cell)) for cell in row))
        Console().print(table)

    def complain(self, text: str) -> None:
        print(f"qchat-admin: {shown(text)}", file=sys.stderr)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar while somebody watches, nothing otherwise."""
        if not sys.stderr.isatty():
            yield unseen
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415
        from rich.progress import TaskID  # noqa: PLC0415

        tasks: dict[str, TaskID] = {}
        with Bars(console=Console(stderr=True), transient=True) as bars:

            def tell(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield tell


def shown(text: str) -> str:
    """Text fit for a terminal, whoever wrote it."""
    return displayed(text.encode("utf-8", "surrogateescape"))


def size(count: float) -> str:
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def moment(seconds: float | None) -> str:
    """A time of this machine, to the second."""
    return "-" if not seconds else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def plural(count: int, noun: str) -> str:
    """``1 session``, ``2 sessions``, ``3 directories``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count} {noun}s"
