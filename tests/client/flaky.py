"""A bad connection to a service: it passes on so many bytes of each answer, then breaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from attrs import define, field


@define(eq=False)
class Flaky:
    """``budgets`` has the bytes that each connection's answers may have; None breaks nothing."""

    upstream: str
    budgets: Iterator[int | None]
    connections: int = 0
    url: str = ""
    tasks: set[asyncio.Task[None]] = field(factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        budget = next(self.budgets, None)
        parts = urlsplit(self.upstream)
        from_service, to_service = await asyncio.open_connection(parts.hostname, parts.port)
        pumps = [
            asyncio.create_task(_pump(reader, to_service, None)),
            asyncio.create_task(_pump(from_service, writer, budget)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (writer, to_service):
                end.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536 if budget is None else max(1, min(budget, 65536))):
            if budget is not None:
                piece, budget = piece[:budget], budget - len(piece)
            writer.write(piece)
            await writer.drain()
            if budget is not None and budget <= 0:
                return


@asynccontextmanager
async def flaky(upstream: str, budgets: Iterator[int | None]) -> AsyncIterator[Flaky]:
    connection = Flaky(upstream, budgets)
    server = await asyncio.start_server(connection.serve, "127.0.0.1", 0)
    connection.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield connection
    finally:
        server.close()
        for task in connection.tasks:
            task.cancel()
        await asyncio.gather(*connection.tasks, return_exceptions=True)
