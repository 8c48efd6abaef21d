"""How much of the model's markdown the parser restores from what the Q CLI prints, and how fast it is.

Run from the root of the checkout: ``python -m benchmarks.restoration``. Two documents are equal when
they make the same HTML; of code blocks every byte and the language must be equal. What Q destroys
itself (entities, the kind of a bullet) is left out of account.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from markdown_it import MarkdownIt

from qchat.model.event import Text
from qchat.model.parser import make_parser
from tests.fakes.rendering import Rendering
from tests.model.documents import Author, as_shown

PAIRS = Path("tests/data/markdown")
HTML = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def restored(printed: bytes) -> str:
    """The answer that the parser makes of what Q has printed."""
    parser = make_parser("q", "markdown")
    events = parser.feed(printed) + parser.close()
    return "".join(event.text for event in events if isinstance(event, Text))


def blocks(markdown: str) -> list[tuple[str, str]]:
    """Language and content of every code block."""
    tokens = HTML.parse(markdown)
    return [(token.info.strip(), token.content) for token in tokens if token.type in ("fence", "code_block")]


def measure(name: str, pairs: Iterable[tuple[str, bytes]]) -> None:
    """Print the two figures for pairs of what was sent and what was printed."""
    documents = equal = codes = equal_codes = 0
    for sent, printed in pairs:
        want, got = as_shown(sent), as_shown(restored(printed))
        documents += 1
        equal += HTML.render(want) == HTML.render(got)
        if blocks(want):
            codes += 1
            equal_codes += blocks(want) == blocks(got)
    print(f"{name}: HTML equal {equal / documents:.1%} of {documents} documents,", end=" ")
    print(f"code blocks equal {equal_codes / codes:.1%} of {codes}")


def recorded() -> Iterable[tuple[str, bytes]]:
    """The pairs that were recorded from the real CLI."""
    for path in sorted(PAIRS.glob("*.md")):
        yield path.read_text(), path.with_suffix(".out").read_bytes()


def simulated(author: Author, count: int) -> Iterable[tuple[str, bytes]]:
    """Pairs made at random, without those of which Q never prints the rest."""
    for _ in range(count):
        sent, rendering = author.document(), Rendering()
        printed = [piece for packet in author.packets(sent) for piece in rendering.packet(packet)]
        printed += rendering.end()
        if not rendering.left.strip():
            yield sent, "".join(printed).encode()


def speed(name: str, data: bytes, form: str = "q") -> None:
    """Print the processor time that ``data`` takes, in slices of 64 KiB and in pieces of 8 bytes."""
    figures = []
    for size in (65536, 8):
        some = data if size > 8 else data[:400_000]
        parser = make_parser("q" if form == "q" else "plain", "markdown")
        start = time.process_time()
        for at in range(0, len(some), size):
            parser.feed(some[at : at + size])
        parser.close()
        seconds = time.process_time() - start
        figures.append(seconds / len(some) * (1e9 if size > 8 else 8e6))
    print(f"{name}: {figures[0]:.1f} ms a MB, {figures[1]:.1f} µs a piece of 8 bytes")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    measure("recorded", recorded())
    measure("simulated", simulated(Author(1), count))
    measure("simulated, with traps", simulated(Author(1, traps=0.15, tildes=0.05), count))
    line = "The quick brown fox jumps over the lazy dog, again and again and again. "
    prompt, end = "\x1b[38;5;10m> \x1b[0m", "\x1b[0m\x1b[0m\n"
    speed("plain text", (line + "\n").encode() * 30_000, "plain")
    speed("an answer of plain lines", prompt.encode() + (line + end).encode() * 30_000)
    speed("an answer of one line", prompt.encode() + line.encode() * 30_000)
    speed("a list with styles", prompt.encode() + f"   • \x1b[1mbold\x1b[22m {line}{end}".encode() * 10_000)


if __name__ == "__main__":
    main()
