"""``bin/bench [--quick] [--rounds N] [part ...]``: measure, print, and write the report."""

import argparse
import tempfile
from pathlib import Path

from benchmarks import scale, streaming
from benchmarks.measure import Bench, Row, machine
from benchmarks.serving import compiled

HERE = Path(__file__).parent
BEGIN, END = "<!-- what follows is written by bin/bench -->", "<!-- until here -->"
PARTS = {
    "streams": streaming.many_streams,
    "flat-out": streaming.flat_out,
    "turns": streaming.short_turns,
    "readers": streaming.many_readers,
    "long": scale.long_transcript,
    "crowd": scale.crowd,
    "beside": scale.beside,
    "size": scale.cost_against_size,
}


def main() -> None:
    """Run the parts that were asked for; only a run of all of them changes the report."""
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny rounds, which only show that it works")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--output", type=Path, help="where to write README.md and plots/, for a part as well")
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="of " + ", ".join(PARTS))
    asked = parser.parse_args()
    where = machine()
    # /tmp may be memory, and what a disk costs is a part of it.
    with tempfile.TemporaryDirectory(prefix="qchat-bench-", dir="/var/tmp") as directory:
        base = Path(directory).resolve()
        base.chmod(0o755)
        rounds = 1 if asked.quick else asked.rounds
        bench = Bench(directory=base, program=compiled(base), rounds=rounds, quick=asked.quick)
        for name in asked.part or PARTS:
            print(f"-- {name}", flush=True)
            PARTS[name](bench)
    if asked.output or not (asked.part or asked.quick):
        write(asked.output or HERE, bench, where)


def write(directory: Path, bench: Bench, where: str) -> None:
    """Put the table into README.md, between its marks, and the plots beside it."""
    (directory / "plots").mkdir(parents=True, exist_ok=True)
    for name, svg in bench.plots.items():
        (directory / "plots" / f"{name}.svg").write_text(svg)
    readme = directory / "README.md"
    text = readme.read_text() if readme.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    images = "\n".join(f"![{name}](plots/{name}.svg)" for name in sorted(bench.plots))
    readme.write_text(f"{before}{BEGIN}\n\n{where}\n\n{table(bench.rows)}\n\n{images}\n\n{END}{after}")


def table(rows: list[Row]) -> str:
    """The rows in markdown."""
    said = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | target | reached | met | where the rest goes |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.target} | {row.reached} | {said[row.met]} | {row.rest} |" for row in rows]
    return "\n".join(lines)


main()
