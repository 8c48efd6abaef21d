"""Exact resume, as a state machine: cut anywhere, in any order, and what is joined is the whole."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from qchat.model.event import Position
from qchat.model.frame import Framer
from qchat.model.numbered import Numbered
from qchat.model.turn import Ending, Turn
from qchat.service import feed as feed_module
from qchat.service import tail as tail_module
from qchat.service.feed import Feed
from tests.harness import ROUNDS

PIECES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode(errors="replace")),
    st.sampled_from(
        [
            b"\x1b[38;5;10m> \x1b[0m",
            b"\x1b[0m\x1b[0m\n",
            b"\x1b[1mbold\x1b[22m",
            b"\n\n",
            "中文😀".encode(),
            b"x" * 300,
            b"\xf0\x9f",
            "\x1b[38;5;13m🛠️  Using tool: x\x1b[38;5;10m (trusted)\x1b[0m\n ⋮ \n ● ".encode(),
            " ⋮ \n\x1b[38;5;10m\x1b[1m ● Completed in 0.5s\x1b[0m\n".encode(),
        ]
    ),
)


def rendered(event: dict[str, Any]) -> str:
    """An event as text, so that pieces of text that were cut differently join to the same."""
    if event["type"] == "chunk":
        return str(event["message"])
    if event.get("state") == "output":
        return f"[{event['id']}]".join(["", *event["output"]])
    return json.dumps(event, sort_keys=True)


class ReaderState:
    """What one reader has seen since where it began."""

    def __init__(self, begun: Position) -> None:
        self.begun = self.at = begun
        self.seen = ""
        self.ended = False
        self.leave()

    def leave(self) -> None:
        """Lose the connection; what has been seen stays."""
        self.reader: feed_module._Reader | None = None
        self.batches: Iterator[bytes] | None = None


class Resume(RuleBasedStateMachine):
    """One turn, written piece by piece, read by several readers that are cut and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.object(tail_module, "WINDOW_BYTES", 600),
            mock.patch.object(tail_module, "SLICE_BYTES", 64),
            mock.patch.object(tail_module, "CHECKPOINT_BYTES", 100),
        ]
        for patch in self.patches:
            patch.start()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "1.out"
        self.path.touch()
        self.readers: list[ReaderState] = []

    @initialize()
    def begin(self) -> None:
        self.turn = Turn(
            session_id="s",
            number=1,
            prompt="p",
            request_key=None,
            state="running",
            created=0.0,
            started=0.0,
            form="q",
            output="markdown",
            ending=None,
        )
        self.new_service()
        self.tail = self.feed.begin(self.turn)

    def new_service(self) -> None:
        self.feed = Feed(
            find=lambda _session, _number: self.turn,
            transcript=lambda _session, _number: self.path,
            framer=Framer("en"),
            max_streams=9,
            heartbeat=9,
        )
        for state in self.readers:
            state.leave()

    @precondition(lambda self: not self.turn.finished)
    @rule(data=PIECES)
    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self.tail.feed(data)

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 5), takes=st.booleans())
    def push(self, which: int, takes: bool) -> None:
        """Wake a reader that waits; its connection takes what it is handed, or is busy."""
        state = self.readers[which % len(self.readers)]
        if state.reader is None or state.batches is not None:
            return

        def take(batch: bytes) -> bool:
            if takes:
                self.take(state, batch)
            return takes

        assert takes or not state.reader.push(take)
        state.reader.push(take)

    @precondition(lambda self: not self.turn.finished)
    @rule()
    def end(self) -> None:
        self.tail.close()
        ending = Ending(reason="completed", ended=1.0, exit=0, bytes=self.path.stat().st_size)
        self.turn = evolve(self.turn, state="completed", ending=ending)
        self.tail.checkpoints.save(self.path)
        self.feed.finish(self.turn)

    @precondition(lambda self: self.turn.finished)
    @rule()
    def restart(self) -> None:
        self.new_service()

    @precondition(lambda self: len(self.readers) < 6)
    @rule(offset=st.integers(0, 3000))
    def join(self, offset: int) -> None:
        self.readers.append(ReaderState(Position(1, min(offset, self.path.stat().st_size))))

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 5), batches=st.integers(1, 4))
    def read(self, which: int, batches: int) -> None:
        state = self.readers[which % len(self.readers)]
        if state.batches is None:
            place = (state.at.offset, state.at.nth)
            state.reader = state.reader or feed_module._Reader(
                self.feed, self.feed.channel("s"), "s", 1, place
            )
            state.batches = state.reader.ready()
        for _ in range(batches):
            batch = next(state.batches, None)
            if batch is None:  # it waits to be woken
                state.batches = None
                return
            self.take(state, batch)

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 5))
    def cut(self, which: int) -> None:
        self.readers[which % len(self.readers)].leave()

    def take(self, state: ReaderState, batch: bytes) -> None:
        for block in batch.decode().split("\n\n")[:-1]:
            id_line, data_line = block.split("\n")
            position = Position.parse(id_line.removeprefix("id: "))
            assert position > state.at, "ids rise, and nothing is repeated"
            assert not state.ended, "nothing follows the terminal event"
            state.at = position
            data = json.loads(data_line.removeprefix("data: "))
            state.ended = data["type"] == "done"
            if not state.ended:
                state.seen += rendered(data)

    def teardown(self) -> None:
        if not self.turn.finished:
            self.end()
        for index, state in enumerate(self.readers):
            state.leave()
            while not state.ended:
                self.read(index, 4)
            whole, before = self.text(None), self.text(state.begun.offset)
            assert before + state.seen == whole
        for patch in self.patches:
            patch.stop()
        self.directory.cleanup()

    def text(self, offset: int | None) -> str:
        """What has been said after ``offset`` bytes (or at the end), read byte by byte."""
        framer, parser = Framer("en"), Numbered.create("q", "markdown")
        data = self.path.read_bytes()[:offset]
        events = [event for byte in data for event in parser.feed(bytes([byte]))]
        events += parser.close() if offset is None else []
        frames = [framer.event(1, *event).decode() for event in events]
        return "".join(rendered(json.loads(frame.partition("data: ")[2])) for frame in frames)


TestResume = Resume.TestCase
TestResume.settings = settings(
    max_examples=60 * ROUNDS,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
