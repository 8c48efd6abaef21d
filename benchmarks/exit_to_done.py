"""From the exit of the CLI to ``done`` at the client: milliseconds, p50 and p99.

Run it from the root of the checkout: ``python benchmarks/exit_to_done.py [turns]``. The stand-in writes
the time as the last thing it does, so its own end is in the figure.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.harness import Client, answer, environment, frames, server

PROGRAM = "#!/bin/sh\nread -r prompt\nprintf 'x'\nexec date +%s.%N\n"


async def main(turns: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "q"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        env = environment(Path(directory) / "sessions")
        env["PATH"] = f"{directory}:{env['PATH']}"
        async with server(env, Path(directory) / "log") as running, aiohttp.ClientSession() as http:
            client = Client(http, running.url)
            session = await client.session()
            found = [await one(client, session) for _ in range(turns)]
    found.sort()
    p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
    print(f"exit to done, {turns} turns: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {found[-1]:.2f} ms")


async def one(client: Client, session: str) -> float:
    turn = await client.turn(session, "x")
    seen = []
    async with client.http.get(client.url + turn["events_url"]) as response:
        async for frame in frames(response):
            seen.append(frame)
            if frame.type == "done":
                now = time.time()
                return (now - float(answer(seen).removeprefix("x"))) * 1000
    raise RuntimeError(seen)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 300))
