"""A client for programs: nothing is sent twice, nothing that streams is lost.

::

    async with Client("http://127.0.0.1:8080") as qchat:
        session = await qchat.create_session()
        turn = await session.send("Write a haiku to haiku.txt")
        async for event in turn.events():
            print(event.text, end="")
        print(await session.files.read("haiku.txt"))

It needs aiohttp and nothing of the server.
"""

from qchat.client.client import Client
from qchat.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    ConnectionLost,
    Forbidden,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    SessionBusy,
    StorageFull,
    TooLarge,
    TurnFailed,
    Unauthorized,
    Unavailable,
)
from qchat.client.files import Files
from qchat.client.session import Session, Turn
from qchat.client.values import Event, File, SessionInfo, TurnInfo

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionLost",
    "Event",
    "File",
    "Files",
    "Forbidden",
    "InvalidRequest",
    "NotFound",
    "PreconditionFailed",
    "Session",
    "SessionBusy",
    "SessionInfo",
    "StorageFull",
    "TooLarge",
    "Turn",
    "TurnFailed",
    "TurnInfo",
    "Unauthorized",
    "Unavailable",
]
