"""One running turn: the agent's process, its transcript, and the one fact about how it ended."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from attrs import define, field

from qchat.adapters.process import Launch, Process, Spawner, SpawnError, drain
from qchat.adapters.transcript import Stderr, Transcript
from qchat.model.outcome import decide
from qchat.model.turn import Ending, Reason, Turn
from qchat.service.observer import Observer
from qchat.service.tail import Tail

StopReason = Literal[
    "cancelled", "timed_out", "interrupted", "output_limit", "quota_exceeded", "storage_full"
]
CODES = {
    "timed_out": "QCLI_TIMEOUT",
    "interrupted": "INTERRUPTED",
    "output_limit": "OUTPUT_LIMIT",
    "quota_exceeded": "QUOTA_EXCEEDED",
    "storage_full": "STORAGE_FULL",
}
MAX_DRAINED = 32
"""Reads after the end: more than a full pipe holds, and a bound if somebody else should hold it."""


@define(eq=False, kw_only=True)
class Run:
    """``publish`` wakes the readers after the transcript has grown."""

    turn: Turn
    prompt: bytes
    tail: Tail
    transcript: Transcript
    stderr: Stderr
    timeout: float
    max_bytes: int
    publish: Callable[[], None]
    observer: Observer
    command: bool = False
    """Whether the prompt is a command of the CLI itself."""
    process: Process | None = None
    _stopped: StopReason | None = None
    _stopping: "asyncio.Task[None] | None" = None
    _reading: list[int] = field(factory=list)

    async def execute(self, spawner: Spawner, launch: Launch) -> Ending:
        """Run the agent to its end. Whatever happens, nothing of it is alive afterwards."""
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        try:
            process = self.process = spawner.spawn(launch, self.prompt)
        except OSError as error:
            return self._ending(None, f"{launch.argv[0]}: {error.strerror}")
        timer = loop.call_later(self.timeout, self.stop, "timed_out")
        try:
            self._read(process.stdout, self._on_stdout)
            self._read(process.stderr, self.stderr.append)
            if self._stopped:  # before there was anything to stop
                self._climb()
            try:
                await process.started
            except SpawnError as error:
                return self._ending(None, str(error))
            self.observer.spawned(self.turn, time.perf_counter() - begun)
            code = await process.exited
            await process.cleared
            self._finish_reading(process)
            return self._ending(code, "")
        finally:
            timer.cancel()
            for fd in self._reading:
                loop.remove_reader(fd)
            if self._stopping:
                await self._stopping
            process.close()

    def stop(self, reason: StopReason) -> None:
        """End the turn; the first reason counts, and none does once the process has ended."""
        if self._stopped or (self.process and self.process.exited.done()):
            return
        self._stopped = reason
        if self.process:
            self._climb()

    def hurry(self) -> None:
        """No more grace."""
        if self.process:
            self.process.tell(b"KILL")

    def _climb(self) -> None:
        assert self.process is not None
        self._stopping = asyncio.create_task(self.process.stop())

    def _read(self, fd: int, take: Callable[[bytes], object]) -> None:
        loop = asyncio.get_running_loop()

        def on_readable() -> None:
            if not drain(fd, take):
                loop.remove_reader(fd)
                self._reading.remove(fd)

        loop.add_reader(fd, on_readable)
        self._reading.append(fd)

    def _finish_reading(self, process: Process) -> None:
        """Take what is still in the pipes; whoever wrote it is gone."""
        for fd, take in ((process.stdout, self._on_stdout), (process.stderr, self.stderr.append)):
            for _ in range(MAX_DRAINED):
                if fd not in self._reading or not drain(fd, take):
                    break
        self.tail.close()

    def _on_stdout(self, data: bytes) -> None:
        if not data or self._stopped in ("output_limit", "storage_full"):
            return
        room = self.max_bytes - self.transcript.size
        before = self.transcript.size
        try:
            self.transcript.append(data[:room])
        except OSError:
            self.stop("storage_full")
        if not before:
            self.observer.first_byte(self.turn)
        self.tail.feed(data[: self.transcript.size - before])
        self.publish()
        if len(data) > room:
            self.stop("output_limit")

    def _ending(self, code: int | None, spawn_error: str) -> Ending:
        reason: Reason
        error_code: str | None
        detail = ""
        if self._stopped == "storage_full":
            reason, error_code = "failed", "STORAGE_FULL"
        elif self._stopped:
            reason, error_code = self._stopped, CODES.get(self._stopped)
        elif spawn_error:
            reason, error_code, detail = "failed", "QCLI_UNAVAILABLE", spawn_error
        else:
            outcome = decide(
                form=self.turn.form,
                exit_code=code,
                answered=self.tail.answered,
                worked=self.tail.worked,
                command=self.command,
                stderr=self.stderr.tail.decode(errors="replace"),
            )
            reason, error_code, detail = outcome.reason, outcome.code, outcome.detail
        return Ending(
            reason=reason,
            ended=time.time(),
            exit=code,
            bytes=self.transcript.size,
            sha256=self.transcript.sha256,
            code=error_code,
            detail=detail,
            answered=self.tail.answered,
        )
