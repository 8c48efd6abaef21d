"""The conversation of a directory, kept under HOME."""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Self

from attrs import define, field

KEPT_BYTES = 6000
"""Of the newest exchanges; about what a small model can take in along with a prompt."""

Message = dict[str, str]
"""``role`` (user or assistant) and ``content``."""


@define
class Memory:
    """What was said in a directory, oldest first."""

    path: Path
    messages: list[Message] = field(factory=list)

    @classmethod
    def of_directory(cls, *, resume: bool) -> Self:
        """That of the working directory; empty unless it is to be gone on with."""
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        key = hashlib.sha256(os.fsencode(os.getcwd())).hexdigest()
        memory = cls(Path(data) / "qchat-localagent" / f"{key}.json")
        if resume:
            try:
                stored = json.loads(memory.path.read_bytes())
                memory.messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in stored]
            except FileNotFoundError:
                pass
            except (OSError, ValueError, TypeError, KeyError) as error:
                print(f"The conversation so far cannot be read: {error}", file=sys.stderr)
        return memory

    def add(self, prompt: str, answer: str) -> None:
        """Remember an exchange; the oldest ones make room."""
        self.messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        while len(self.messages) > 2 and size(self.messages) > KEPT_BYTES:
            del self.messages[:2]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self.path.parent)
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(self.messages, file, ensure_ascii=False)
            Path(name).replace(self.path)
        except OSError as error:
            print(f"This exchange cannot be remembered: {error}", file=sys.stderr)


def size(messages: list[Message]) -> int:
    """How much text there is, in bytes."""
    return sum(len(message["content"].encode(errors="replace")) for message in messages)
