"""The floor: a bare aiohttp handler that copies pipe to socket as JSON frames, and does nothing else.

Nothing is kept, nothing is checked, nobody can come back. ``python -m benchmarks.floor PROGRAM...``
"""

import asyncio
import json
import sys

from aiohttp import web

READ_BYTES = 65536


async def stream(request: web.Request) -> web.StreamResponse:
    """Run the program for one prompt."""
    prompt = (await request.json())["message"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    process = await asyncio.create_subprocess_exec(
        *sys.argv[1:], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(prompt.encode())
    process.stdin.close()
    while data := await process.stdout.read(READ_BYTES):
        message = json.dumps({"type": "chunk", "message": data.decode()}, ensure_ascii=False)
        await response.write(f"data: {message}\n\n".encode())
    await process.wait()
    await response.write(b'data: {"type": "done"}\n\n')
    return response


async def main() -> None:
    app = web.Application()
    app.router.add_post("/", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("Listening on http://{}:{}".format(*runner.addresses[0]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
