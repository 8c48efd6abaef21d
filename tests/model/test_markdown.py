"""Markdown restored from what the Q CLI prints: the recorded pairs, and many more through a simulation."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qchat.model.event import Text
from qchat.model.parser import make_parser
from qchat.model.turn import Output
from tests.fakes.rendering import END_OF_LINE, PROMPT, render
from tests.model.documents import Author, as_shown

PAIRS = sorted((Path(__file__).parent.parent / "data" / "markdown").glob("*.md"))


def restored(printed: str, output: Output = "markdown") -> str:
    parser = make_parser("q", output)
    events = parser.feed(printed.encode()) + parser.close()
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_recorded_document_is_restored(path: Path) -> None:
    """What the real CLI printed becomes what was sent, but for what the CLI itself destroys."""
    printed = path.with_suffix(".out").read_text()
    assert as_shown(restored(printed)) == as_shown(path.read_text())


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_the_simulation_prints_what_the_real_cli_prints(path: Path) -> None:
    """Sent in single characters, a recorded document is printed by the simulation as by the real CLI."""
    assert render(list(path.read_text())) == path.with_suffix(".out").read_text()


DOCUMENTS = [
    "plain",
    "# One\n\n## Two **bold** `code`\n\n####### seven",
    "**bold** and *italic* and ~~gone~~ and `code`, **two** *three*.",
    "a **bold *both* bold** b",
    "***both*** here",
    "**`code` in bold** and *`code` in italic*",
    "snake_case stays, so do _private_name, __init__ (as bold) and 2 * 3 * 4.".replace("__init__", "x"),
    "2 * 3 is six, *emphasis* follows, snake_case too.",
    "*args and **kwargs are names; *so* it **goes** on.",
    "中文 *重点*内容 **重点**内容",
    "- one\n- two **bold**\n  more\n\n  paragraph\n- three",
    "- one\n  - two\n    - three\n      1. four\n- five",
    "1. one\n\n   ```py\n   def f():\n       return `x`\n   ```\n\n2. two".replace("`x`", "x"),
    "1. one\n\n   **Note:** bold in an item\n\n2. two",
    "- **literal** marks at the start of an item",
    "10. ten\n11. eleven",
    "> quote\n> more\n\n> > deeper",
    "> ```py\n> code\n> ```",
    "---\n\ntext\n\n---",
    "Title\n---\n\nText",
    "| a | b |\n|---|:-:|\n| `x` | **y** |",
    "a | b\n--- | ---\n1 | 2",
    "[link](https://e.com/a_b?x=1&y=*2*) and ![image](i.png) and [ref][1]\n\n[1]: http://x.y",
    "[x] is no link, [a] and [b](c) is one",
    "```\nno language\n  indented\n\n\ttab\n```",
    "```python\nx = '''**no** _marks_ `here`'''\n# comment\n- list\n> quote\n```",
    "```\n```",
    "before\n```sh\nls *.txt\n```\nafter",
    "```js {1,3}\nlet x\n```",
    "```\n\x1b[31mred\x1b[32m\n```".replace("\x1b", "\\x1b"),
    "```\n│ bar\n• bullet\n━━━\n> > >\n```",
    "````md\n```py\ndef __init__(self): pass\n```\n````",
    "~~~py\ndef __init__(self):\n    pass\n~~~",
    "`` `a` `` is a tick",
    "text `` `a` `` text",
    "unclosed ``` in a line ``` is code",
    "<details>\n<summary>x</summary>\n\ntext\n\n</details>",
    "    indented code\n      more",
    "two spaces  \nbreak the line",
    "emoji 😀 👩‍💻 and “quotes” … — │ • ━",
    "• literal bullet".replace("• ", "•"),
    "━━━ is no rule",
    "a \\*literal\\* asterisk and \\# no heading",
    "&copy; and &#39; stay",
    "line one\r\nline two\r\n\r\n```\r\ncode\r\n```".replace("\r\n", "\n"),
    "a\n\n\n\nb",
    "+ plus\n+ plus",
    "1) paren\n2) paren",
    "- [ ] todo\n- [x] done",
    "Term\n: definition",
    "x^2^ H~2~O ==mark==",
    "$a_1 + b_2$ and $$\\sum_{i=0}^n$$",
    "<!--\ncomment\n--->\n\ntext",
    "---> an arrow",
    "---`code` behind dashes",
    "-----BEGIN",
]


@pytest.mark.parametrize("packets", ["characters", "pieces", "whole"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_restored(document: str, packets: str) -> None:
    """Byte for byte what the model wrote, however it came to the CLI in packets."""
    size = {"characters": 1, "pieces": 7, "whole": len(document)}[packets]
    sent = [document[at : at + size] for at in range(0, len(document), size)]
    if document == "-----BEGIN":  # how many there were is not printed
        document = "--- BEGIN"
    assert restored(render(sent)) == document


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_ordinary_documents_are_restored(seed: int) -> None:
    """Documents at random, whose emphasis is asterisks, are restored but for what the CLI destroys."""
    document = Author(seed).document()
    assume(not re.search(r"\*\*\*|\[x\]|`` |(^|[\s>])_|_[\s!.]", document))
    assert as_shown(restored(render(list(document)))) == as_shown(document).replace("___", "---").replace(
        "-----", "---"
    )


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("**bold** *italic* ~~gone~~ `code`", "bold italic gone code"),
        ("## Heading `x`\n\ntext", "Heading x\n\ntext"),
        ("before\n\n```py\n  x\n\ny\n```\n\nafter", "before\n\n  x\n\ny\n\nafter"),
        ("2 * 3 * 4 and 2 ** 3", "2 * 3 * 4 and 2 ** 3"),
        ("- item\n  1. two\n\n> quote\n\n---", "- item\n  1. two\n\n> quote\n\n---"),
        ("_private_name stays", "_private_name stays"),
        ("**`x`** and *`y`*", "x and y"),
    ],
)
def test_text_output_is_the_same_without_marks(document: str, text: str) -> None:
    """Without marks there are no fences, backticks and asterisks, and every word is where it was."""
    assert restored(render(list(document)), "text") == text


def test_a_link_in_one_packet_is_a_link() -> None:
    """Whether the CLI saw a link at once or in two packets makes no difference to its reader."""
    document = "See [the text](http://x.y/z) here."
    assert restored(render([document])) == restored(render(list(document))) == document
    assert restored(render([document]), "text") == "See the text (http://x.y/z) here."


def test_footnotes_are_footnotes() -> None:
    """What the CLI prints as numbers with a list of addresses at the end is kept as just that."""
    assert restored(render(["Said [[1]](http://a.b) so."])) == "Said [^1] so.\n\n\n[^1]: http://a.b"


@pytest.mark.parametrize("name", ["markdown", "markdown_no_color", "markdown_rendering_disabled"])
def test_colours_and_settings_make_no_difference(name: str) -> None:
    """The same answer is restored from output with colours, without, and with the rendering switched off."""
    path = PAIRS[0].parent.parent / "recordings"
    first = restored((path / "markdown.out").read_text())
    assert restored((path / f"{name}.out").read_text()) == first
    assert "```python\ndef f(x):\n    if x:\n        return 1\n\n    return 2\n```" in first


def test_text_leaves_as_soon_as_it_is_certain() -> None:
    """A word leaves with its last byte, a mark with its style, and a line end with what follows it."""
    parser = make_parser("q", "markdown")
    pieces = [
        PROMPT,
        "Hello",
        " \x1b[1m",
        "big",
        "\x1b[22m",
        " `",
        END_OF_LINE,
        "• ",
        "item",
        END_OF_LINE,
        "\n",
    ]
    texts = ["".join(e.text for e in parser.feed(p.encode()) if isinstance(e, Text)) for p in pieces]
    assert texts == ["", "Hello", " **", "big", "", "** `", "", "\n- ", "item", "", ""]
    assert parser.close() == []


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (PROMPT + "cut **of", "cut **of"),
        (PROMPT + "\x1b[1mcut", "**cut"),
        (PROMPT + "a\x1b[38;5;10mcut", "a`cut"),
        (PROMPT + "\x1b[1mpy\n\x1b[0m\x1b[38;5;10mx = 1\n", "```py\nx = 1"),
        (PROMPT + "a \x1b[3mcut", "a *cut"),
        (PROMPT + "a" + END_OF_LINE + "   ", "a"),
        (PROMPT + "\x1b[38;5;8m│ │ ", "> >"),
        ("no prompt \x1b[1mat all\x1b[22m\n", "no prompt at all"),
    ],
)
def test_an_answer_may_be_cut_anywhere(printed: str, text: str) -> None:
    """What an interrupted CLI had begun is kept, with the likeliest meaning."""
    assert restored(printed) == text


@pytest.mark.parametrize(
    "line", ["  - item", " one space", "\ttab", "• literal", "━━━", "   1. number", "    code"]
)
def test_a_line_can_be_said_to_be_as_it_is(line: str) -> None:
    """A program of the same form that does not render puts the default colour before such a line."""
    printed = PROMPT + f"\x1b[39m{line}" + END_OF_LINE + f"\x1b[39m{line}" + END_OF_LINE + "\n"
    assert restored(printed) == f"{line}\n{line}"


def test_other_colours_mean_the_same() -> None:
    """What a style stands for is told by where it is, so that a successor's palette makes no difference."""
    path = PAIRS[0].parent.parent / "recordings" / "markdown.out"
    printed = path.read_text()
    other = printed
    for colour, another in (("38;5;10", "38;5;141"), ("38;5;13", "95"), ("38;5;8", "90")):
        other = other.replace(f"\x1b[{colour}m", f"\x1b[{another}m")
    assert restored(other) == restored(printed)
