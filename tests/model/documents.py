"""Markdown documents as a model might write them, made at random: for measures, and for Hypothesis."""

import random
import re
from collections.abc import Callable

WORDS = [
    *("alpha", "beta", "the", "of", "config", "build", "缓存", "重试", "会话", "naïve", "Ωmega", "日本語"),
    *("emoji😀", "👩‍💻", "x<y", "a&b", "100%", "$HOME", "#tag", "don't", "(see)", "[x]", "e.g.", "v1.2.3"),
    *("snake_case_name", "C++", "-flag", "--long", "50+", "'q'", '"dq"', "path/to/x.py", "i++", "{x:1}"),
    *("@user", ":smile:", "http://x.y/z?a=1&b=2", "ok!", "—", "…", "“quoted”"),
]
TRAPS = ["_private_var", "__init__", "2*3", "~tilde", "a_b", "*args", "**kw", "f(*a,**k)", "<T>", "|", "^"]
CODE = (
    "def f():\n    return '''x'''\n\n    # **no** _no_ `no`\n",
    "\tif x {\n\t\ty()\n\t}\n",
    "a\n  b\n\n\n   c\n",
    "- x\n* y\n1. z\n> q\n",
    "| a | b |\n",
    "<div>\n  <p>x</p>\n</div>\n",
    "x = `echo`\n",
    "echo -e '\\x1b[31m'\n",
    "中文\n    缩进\n",
    "line  \n",
    "",
    "# heading\n## two\n",
    "---\nfront: matter\n---\n",
    "│ bar\n• bullet\n━━━\n",
    "$ ls *.txt __init__.py\n",
    " one space\n",
)
SPANS = ("x", "a b", "foo_bar()", "**kw", "*p", "a<b", "a && b", "~x~", "[a](b)", " s ", "# x", "│", "•")
LANGUAGES = ("", "python", "py", "text", "json", "c++", "js {1,3}", "sh")


class Author:
    """Writes documents. ``traps`` is the share of words that look like marks, outside code."""

    def __init__(self, seed: int, *, traps: float = 0.0, tildes: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.traps, self.tildes = traps, tildes

    def document(self) -> str:
        return "\n\n".join(self.block() for _ in range(self.random.randint(1, 6)))

    def packets(self, text: str) -> list[str]:
        """Cut ``text`` into packets: characters, a few characters, or one piece."""
        size = self.random.choice((1, 12, 12, 60, len(text) + 1))
        result = []
        while text:
            stop = self.random.randint(1, size)
            result.append(text[:stop])
            text = text[stop:]
        return result

    def words(self, most: int = 7) -> str:
        choice = self.random.choice
        count = self.random.randint(1, most)
        return " ".join(choice(TRAPS if self.random.random() < self.traps else WORDS) for _ in range(count))

    def plain(self, most: int = 3) -> str:
        """Words that do not begin with anything like a mark."""
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, most)))

    def inline(self) -> str:
        kinds: tuple[tuple[int, Callable[[], str]], ...] = (
            (45, self.words),
            (14, lambda: f"**{self.plain()}**"),
            (7, lambda: f"*{self.plain()}*"),
            (1, lambda: f"_{self.plain()}_"),
            (2, lambda: f"~~{self.plain()}~~"),
            (20, lambda: f"`{self.random.choice(SPANS)}`"),
            (1, lambda: "`` `a` ``"),
            (8, lambda: f"[{self.plain()}](https://e.com/a_b?x=1&y=2)"),
            (1, lambda: f"![{self.plain()}](img.png)"),
            (1, lambda: f"***{self.plain(1)}***"),
        )
        return self.random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()

    def line(self, most: int = 4) -> str:
        return " ".join(self.inline() for _ in range(self.random.randint(1, most)))

    def paragraph(self) -> str:
        ends = (".", "", ".", "  ", "!")
        return "\n".join(self.line() + self.random.choice(ends) for _ in range(self.random.randint(1, 3)))

    def fence(self, indent: str = "") -> str:
        mark = "~~~" if self.random.random() < self.tildes else "```"
        lines = f"{mark}{self.random.choice(LANGUAGES)}\n{self.random.choice(CODE)}{mark}".splitlines(
            keepends=True
        )
        return "".join(indent + line if line.strip() else line for line in lines)

    def items(self, depth: int = 0, indent: str = "") -> str:
        ordered, bullet = self.random.random() < 0.35, self.random.choice("--*+")
        lines = []
        for number in range(1, self.random.randint(1, 4) + 1):
            mark = f"{number}." if ordered else bullet
            lines.append(f"{indent}{mark} {self.line(3)}")
            inner = indent + " " * (len(mark) + 1)
            lines += self.beneath(depth, inner)
        return "\n".join(lines)

    def beneath(self, depth: int, indent: str) -> list[str]:
        """What follows the first line of a list item."""
        kind = self.random.random()
        if depth < 2 and kind < 0.25:
            return [self.items(depth + 1, indent)]
        if kind < 0.33:
            return ["", self.fence(indent), ""]
        if kind < 0.38:
            return [self.fence(indent)]
        if kind < 0.44:
            return ["", indent + self.paragraph().replace("\n", "\n" + indent), ""]
        return [indent + self.words()] if kind < 0.48 else []

    def table(self) -> str:
        cells = [[self.line(2).replace("|", "") for _ in range(2)] for _ in range(3)]
        return "| a | b |\n|---|:-:|\n" + "\n".join(f"| {one} | {two} |" for one, two in cells)

    def quote(self) -> str:
        mark = self.random.choice(("> ", "> ", "> > "))
        return "\n".join(mark + line for line in self.paragraph().split("\n"))

    def block(self) -> str:
        kinds: tuple[tuple[int, Callable[[], str]], ...] = (
            (30, self.paragraph),
            (12, lambda: "#" * self.random.randint(1, 6) + " " + self.line(2)),
            (20, self.items),
            (14, self.fence),
            (8, self.quote),
            (4, lambda: self.random.choice(("---", "***", "___", "- - -", "-----"))),
            (6, self.table),
            (2, lambda: f"<details>\n<summary>x</summary>\n\n{self.paragraph()}\n\n</details>"),
            (2, lambda: "    indented code\n      more\n"),
            (2, lambda: f"Title {self.plain()}\n{self.random.choice(('===', '---'))}"),
        )
        return self.random.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]()


def as_shown(markdown: str) -> str:
    """``markdown`` without what the CLI's own rendering destroys.

    It prints one sign for both kinds of bullets, one style for both marks of emphasis, and decodes four
    entities.
    """
    markdown = re.sub(r"(?<=\s)_([^_\s]+)_(?=\s)", r"*\1*", markdown)
    markdown = re.sub(r"(?m)^([ \t]*)\*( +)", r"\1-\2", markdown)
    for name, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        markdown = markdown.replace(name, character)
    return markdown.rstrip("\n") + "\n"
