"""A port that leads to another one, once it is opened: for servers that come late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["forwarded"]


@asynccontextmanager
async def forwarded(port: int, target: int) -> AsyncIterator[None]:
    """Makes 127.0.0.1:`port` lead to 127.0.0.1:`target` while the block runs."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", target)
        copies = [asyncio.create_task(_copy(reader, their_writer)), asyncio.create_task(_copy(their_reader, writer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for side in (writer, their_writer):
            side.close()
        for copy in copies:
            copy.cancel()

    server = await asyncio.start_server(forward, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
