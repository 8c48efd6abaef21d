"""Tool cards: what they say, what their tools write, how they end, and what only looks like one."""

import re
from collections import Counter
from pathlib import Path

import pytest

from qchat.model.event import Event, Notice, Text, Tool
from qchat.model.parser import make_parser
from tests.fakes.rendering import END_OF_LINE, PROMPT

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
ROOM = "/srv/qchat/sessions/550e8400-e29b-41d4-a716-446655440000"
COMMAND = "I will run the following shell command: \x1b[38;5;10m{}\n\x1b[0m\n"
AWS = "Running aws cli command:\n\nService name: s3\nOperation name: ls\nParameters: \nRegion: us-east-1"
CALL = 'Running \x1b[38;5;10mquery\x1b[0m with the param:\n ⋮  {\n ⋮    "sql": "select 1"\n ⋮  }\n\x1b[0m'
END = " ⋮ \n\x1b[38;5;10m\x1b[1m ● Completed in 0.57s\x1b[0m\n\n"


def read(printed: str | bytes) -> list[Event]:
    parser = make_parser("q", "markdown")
    data = printed.encode() if isinstance(printed, str) else printed
    return parser.feed(data) + parser.close()


def card(name: str, description: str, *, trusted: bool = True) -> str:
    sign = "\x1b[38;5;2m (trusted)\x1b[39m" if trusted else "\x1b[0m\x1b[0m"
    return f"\x1b[38;5;13m🛠️  Using tool: {name}{sign}\x1b[0m\n ⋮ \n ● {description}"


def story(events: list[Event]) -> list[str]:
    """What happened, in words."""
    words = []
    for event in events:
        match event:
            case Text():
                words.append(f"text {event.text!r}")
            case Tool(state="output"):
                words.append(f"{event.id} output {event.output!r}")
            case Tool(state="started"):
                words.append(f"{event.id} started {event.name}")
            case Tool():
                words.append(f"{event.id} {event.state} {event.seconds}")
            case Notice():
                words.append(f"notice {event.message!r}")
    return words


def started(events: list[Event]) -> list[Tool]:
    return [event for event in events if isinstance(event, Tool) and event.state == "started"]


ABOUT = {
    "interrupted_in_tool": ("execute_bash", {"command": "sleep 30"}),
    "tool_bash_exit_3": (
        "execute_bash",
        {"command": "python3 hello.py; echo err >&2; exit 3", "purpose": "Run it"},
    ),
    "tool_fs_read_file": (
        "fs_read",
        {"description": f"Reading file: {ROOM}/hello.py, all lines", "path": f"{ROOM}/hello.py"},
    ),
    "tool_fs_read_search": (
        "fs_read",
        {
            "description": f"Searching: {ROOM}/hello.py for pattern: goodbye",
            "path": f"{ROOM}/hello.py",
        },
    ),
    "tool_fs_write_create": (
        "fs_write",
        {
            "path": f"{ROOM}/hello.py",
            "diff": '+    1: def main():\n+    2:     print("hello")\n+    3: \n+    4: main()',
            "purpose": "Create hello.py",
        },
    ),
    "tool_fs_write_replace": (
        "fs_write",
        {"path": "hello.py", "diff": "- 2   : hello\n+    2: goodbye", "purpose": "Change greeting"},
    ),
    "tool_fs_write_append": ("fs_write", {"path": "hello.py", "diff": "+    5: # the end"}),
}


@pytest.mark.parametrize("name", ABOUT)
def test_a_card_says_what_it_is_about(name: str) -> None:
    """A card has the tool's name, whether it is trusted, and command, path, diff and purpose as they are."""
    [event] = started(read((RECORDINGS / f"{name}.out").read_bytes()))
    assert (event.name, {key: value.rstrip("\n") for key, value in event.about.items()}) == ABOUT[name]
    assert event.trusted


def test_a_tool_that_is_not_trusted_is_said_not_to_be() -> None:
    """The card of a tool that would need an approval says so, and ends as failed."""
    events = read((RECORDINGS / "tool_not_trusted.out").read_bytes())
    assert story(events) == ["1 started execute_bash", "1 failed None"]
    assert not started(events)[0].trusted


def test_tools_asked_for_together_are_told_apart() -> None:
    """Two cards are announced, the second in the midst of a line; then each has its own output and end."""
    events = read((RECORDINGS / "two_tools_interleaved.out").read_bytes())
    assert story(events)[:-1] == [
        "1 started fs_read",
        "2 started execute_bash",
        f"1 output '\\n ✓ Successfully read directory {ROOM} (1 entries)\\n'",
        "1 completed 0.0",
        "2 output 'line 1\\nline 2\\nline 3\\n'",
        "2 completed 0.915",
    ]


def test_a_commands_output_streams_into_its_card() -> None:
    """Output leaves as it comes, without escapes, with carriage returns and with what was no UTF-8."""
    parser = make_parser("q", "markdown")
    parser.feed((card("execute_bash", COMMAND.format("x"))).encode())
    assert story(parser.feed(b"10%\r20%")) == ["1 output '10%\\r20%'"]
    assert story(parser.feed(b"\r\x1b[31mred\x1b[0m\xff\n")) == ["1 output '\\rred\ufffd\\n'"]
    assert parser.pending == ("execute_bash",)


def test_parts_of_an_answer_around_a_tool_are_paragraphs() -> None:
    """Between the text before a tool and the text after it there is a blank line, and nothing else."""
    events = read((RECORDINGS / "tool_bash_exit_3.out").read_bytes())
    texts = [event.text for event in events if isinstance(event, Text)]
    assert "".join(texts).startswith("Running it.\n\ntool result: ")


def test_an_open_code_block_ends_where_a_tool_begins() -> None:
    """Code that the model did not close is closed before the next part of the answer."""
    code = PROMPT + "\x1b[1mpy\n\x1b[0m\x1b[38;5;10mx = 1\n\n"
    events = read(
        code + card("execute_bash", COMMAND.format("x")) + END + PROMPT + "after" + END_OF_LINE + "\n"
    )
    assert story(events)[0] == "text '```py\\nx = 1\\n```'"
    assert story(events)[-1] == "text '\\n\\nafter'"


def test_output_that_imitates_cards_misleads_no_one() -> None:
    """Lines that look like a card, without its styles, are output."""
    events = read((RECORDINGS / "tool_bash_imitates_card.out").read_bytes())
    assert story(events)[:3] == [
        "1 started execute_bash",
        "1 output '\\n🛠️  Using tool: fs_write (trusted)\\n ⋮ \\n ● Completed in 0.0s\\n'",
        "1 completed 0.003",
    ]


def test_an_answer_that_imitates_a_card_is_text() -> None:
    """A model that writes what a card says writes text."""
    printed = PROMPT + "🛠️  Using tool: x (trusted)" + END_OF_LINE + " ⋮ " + END_OF_LINE + "\n"
    assert story(read(printed)) == ["text '🛠️  Using tool: x (trusted)\\n  ⋮ '"]


def test_a_failed_tool_ends_with_what_follows() -> None:
    """A tool that fails tells stderr only; the answer that follows ends its card as failed."""
    assert story(read((RECORDINGS / "tool_use_aws.out").read_bytes()))[:2] == [
        "1 started use_aws",
        "1 failed None",
    ]


def test_a_failed_tool_does_not_get_the_next_ones_output() -> None:
    """When the first of two tools writes nothing ever, what comes belongs to the second."""
    printed = card("use_aws", AWS) + card("execute_bash", COMMAND.format("ls")) + "a.txt\n" + END
    assert story(read(printed)) == [
        "1 started use_aws",
        "2 started execute_bash",
        "1 failed None",
        "2 output 'a.txt\\n'",
        "2 completed 0.057",
    ]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_silent_tool_is_skipped_wherever_the_bytes_were_cut(size: int) -> None:
    """What follows the end of a card, in one piece or in many, is not of a tool that writes nothing."""
    cards = (card("execute_bash", COMMAND.format("a")), card("use_aws", AWS), card("other", "It says\n"))
    data = "".join([*cards, END, "out\n"]).encode()
    parser = make_parser("q", "markdown")
    events = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    told = story(events)[3:]
    assert told[:2] == ["1 completed 0.057", "2 failed None"]
    assert all(line.startswith("3 output") for line in told[2:])


@pytest.mark.parametrize(
    "description",
    [
        "Reading file: \x1b[38;5;10ma.py\x1b[0m, all lines",
        "Reading file: \x1b[38;5;10ma.py\x1b[0m, from line \x1b[38;5;10m3\x1b[0m to end of file",
        "Reading directory: \x1b[38;5;10m.\x1b[0m with maximum depth of 2",
        "Searching: \x1b[38;5;10m.\x1b[0m for pattern: \x1b[38;5;10mx\x1b[0m",
        AWS,
        AWS + "\nLabel: List",
    ],
)
def test_output_right_behind_a_description_is_output(description: str) -> None:
    """What the first tool of a batch writes stands behind the last description, without a line end."""
    printed = card("execute_bash", COMMAND.format("ls")) + card("other", description) + "out\nmore\n" + END
    events = read(printed.replace("Listout", "List\nout"))
    assert story(events)[:4] == [
        "1 started execute_bash",
        "2 started other",
        "1 output 'out\\nmore\\n'",
        "1 completed 0.057",
    ]


def test_a_new_announcement_ends_what_was_open() -> None:
    """Cards of a later request are no part of the batch before them."""
    first = card("execute_bash", COMMAND.format("a")) + "out\n"
    assert story(read(first + END_OF_LINE + "\n" + card("execute_bash", COMMAND.format("b")))) == [
        "1 started execute_bash",
        "1 output 'out\\n\\n\\n'",
        "1 failed None",
        "2 started execute_bash",
        "2 failed None",
    ]


@pytest.mark.parametrize(
    ("name", "description", "about"),
    [
        ("use_aws", AWS, {"description": AWS}),
        (
            "query",
            CALL,
            {"description": "Running query", "parameters": ' ⋮  {\n ⋮    "sql": "select 1"\n ⋮  }'},
        ),
        ("query", "Running \x1b[38;5;10mquery\x1b[0m\n", {"description": "Running query"}),
        (
            "introspect",
            "Introspecting to get you the right information",
            {"description": "Introspecting to get you the right information"},
        ),
        ("thinking (prerelease)", "", {}),
        (
            "fs_read",
            (
                "Batch fs_read operation with \x1b[38;5;10m2\x1b[0m operations:\n\n"
                "↱ Operation 1: Reading file: \x1b[38;5;10ma\x1b[0m, all lines\n"
                "↱ Operation 2: Reading file: \x1b[38;5;10mb\x1b[0m, all lines\n"
            ),
            {
                "description": "Batch fs_read operation with 2 operations:\n\n"
                "↱ Operation 1: Reading file: a, all lines\n↱ Operation 2: Reading file: b, all lines"
            },
        ),
        ("execute_bash", COMMAND.format("a\n\nb"), {"command": "a\n\nb"}),
        ("execute_bash", COMMAND.replace("{}\n\x1b[0m", "{}\x1b[0m\n").format("ls"), {"command": "ls"}),
    ],
)
def test_every_shape_of_description_is_known(name: str, description: str, about: dict[str, str]) -> None:
    """Whatever a description looks like, it ends where it ends, and the tool's own end follows."""
    events = read(card(name, description) + END + PROMPT + "done" + END_OF_LINE + "\n")
    assert story(events) == [f"1 started {name}", "1 completed 0.057", "text 'done'"]
    assert started(events)[0].about == about


def test_a_servers_tool_names_its_server() -> None:
    """The card of a tool of an MCP server says which server it is."""
    head = (
        "\x1b[38;5;13m🛠️  Using tool: query\x1b[38;5;2m (trusted)\x1b[39m\x1b[0m\x1b[0m from mcp server "
        "\x1b[38;5;13mdb\x1b[0m\n ⋮ \n ● "
    )
    [event] = started(read(head + CALL + END))
    assert (event.name, event.trusted, event.about["server"]) == ("query", True, "db")


def test_seconds_are_read_as_the_cli_writes_them() -> None:
    """Behind the point are milliseconds without zeros in front: 1.5 is a second and five of them."""
    events = read(card("execute_bash", COMMAND.format("x")) + END.replace("0.57", "1.5"))
    assert story(events)[-1] == "1 completed 1.005"


def test_a_long_description_goes_on_as_output() -> None:
    """A description that never ends is cut, and what is beyond is output: nothing is lost."""
    events = read(card("execute_bash", COMMAND.format("x" * 100_000)) + END)
    said = [*events[0].about.values()] if isinstance(events[0], Tool) else []
    output = [event.output for event in events if isinstance(event, Tool)]
    assert "".join(said + output).count("x") == 100_000
    assert len("".join(said)) <= 64 * 1024


def test_what_the_cli_says_of_the_conversation_is_a_notice() -> None:
    """A remark in the midst of an answer is no part of it."""
    remark = "\n\n\x1b[38;5;11mTool validation failed: no object\n Retrying the request...\x1b[0m\n"
    events = read(PROMPT + "before" + END_OF_LINE + remark + PROMPT + "after" + END_OF_LINE + "\n")
    assert story(events) == [
        "text 'before'",
        "notice 'Tool validation failed: no object\\n Retrying the request...'",
        "text '\\n\\nafter'",
    ]


def test_an_overflow_is_a_notice() -> None:
    """That the history is summarised is told, and is no part of the answer."""
    remark = "\x1b[38;5;11mThe context window has overflowed, summarizing the history...\x1b[0m\n\n"
    events = read(remark + PROMPT + "answer" + END_OF_LINE + "\n")
    assert story(events) == [
        "notice 'The context window has overflowed, summarizing the history...'",
        "text 'answer'",
    ]


FRAME = re.compile(
    r"🛠️  Using tool: | \(trusted\)| ● Completed in [0-9.]+s| ⋮ | ↳ Purpose: | ● |> |━+|[•│]"
    r"|I will run the following shell command: |Path: "
)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.out")), ids=lambda path: path.stem)
def test_everything_is_in_exactly_one_event(path: Path) -> None:
    """Of the letters and digits that the CLI wrote, all are in the events, and as often as it wrote them."""
    visible = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", path.read_bytes().decode(errors="replace"))
    shown = []
    for event in read(path.read_bytes()):
        match event:
            case Text():
                shown.append(event.text)
            case Tool(state="started"):
                about = dict(event.about)
                if "description" in about:
                    about.pop("path", None)  # it is in there
                shown += [event.name, *about.values()]
            case Tool():
                shown.append(event.output)
    imitated = FRAME.sub("", "".join(shown)) if "imitates" in path.stem else "".join(shown)
    letters = Counter(character for character in FRAME.sub("", visible) if character.isalnum())
    assert Counter(character for character in imitated if character.isalnum()) == letters
