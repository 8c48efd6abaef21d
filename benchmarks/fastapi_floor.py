"""What one would write instead: FastAPI and sse-starlette, a process a request, answers in a list in memory.

``python -m benchmarks.fastapi_floor PROGRAM...``
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

READ_BYTES = 65536
app = FastAPI()
history: list[list[str]] = []


class Prompt(BaseModel):
    message: str


@app.post("/")
async def chat(prompt: Prompt) -> EventSourceResponse:
    """Run the program for one prompt."""
    return EventSourceResponse(run(prompt.message))


async def run(prompt: str) -> AsyncIterator[dict[str, str]]:
    answer: list[str] = []
    history.append(answer)
    process = await asyncio.create_subprocess_exec(
        *sys.argv[1:], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(prompt.encode())
    process.stdin.close()
    while data := await process.stdout.read(READ_BYTES):
        text = data.decode()
        answer.append(text)
        yield {"data": json.dumps({"type": "chunk", "message": text}, ensure_ascii=False)}
    await process.wait()
    yield {"data": '{"type": "done"}'}


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print("Listening on http://{}:{}".format(*listener.getsockname()), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
