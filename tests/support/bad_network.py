"""A network between a robot and its server that is cut, or swallows everything, when a test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["BadNetwork", "bad_network"]


class BadNetwork:
    """A port of its own that leads to a server.

    Attributes:
        url: the address to give to a robot.
        swallows: while set, nothing more comes through either way, and nobody is told.
        connections: how many there were.
    """

    def __init__(self, server: str) -> None:
        self._host, self._port = urlsplit(server).hostname, urlsplit(server).port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.swallows = False
        self.connections = 0

    def cut(self) -> None:
        """Ends every connection at once, without a closing handshake."""
        for writer in self._writers:
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self.connections += 1
        their_reader, their_writer = await asyncio.open_connection(self._host, self._port)
        mine = {writer, their_writer}
        self._writers |= mine
        copies = [
            asyncio.create_task(self._copy(reader, their_writer)),
            asyncio.create_task(self._copy(their_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            self._writers -= mine
            for each in mine:
                each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.swallows:
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def bad_network(server: str) -> AsyncIterator[BadNetwork]:
    """A network to `server` while the block runs."""
    network = BadNetwork(server)
    listener = await asyncio.start_server(network.forward, "127.0.0.1", 0)
    network.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield network
    finally:
        listener.close()
        network.cut()
