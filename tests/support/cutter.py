"""A way to a server whose connections are cut at random moments, with requests on their way and answers unread."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Cutter", "cutting"]


class Cutter:
    """The connections that lead through. What was sent on has reached the server, whatever becomes of its answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.cuts = 0
        self.may_cut = asyncio.Event()

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copies both ways until one side ends."""
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = (writer, their_writer)
        self._open.add(pair)
        copies = [asyncio.create_task(_copy(reader, their_writer)), asyncio.create_task(_copy(their_reader, writer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        self._open.discard(pair)
        for side in pair:
            side.close()
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)

    def cut(self) -> None:
        """Cuts every connection towards who asks; the server still gets what was sent to it."""
        for writer, _ in list(self._open):
            self.cuts += 1
            writer.transport.abort()


@asynccontextmanager
async def cutting(port: int, target: int, seed: int, *, every_s: float) -> AsyncIterator[Cutter]:
    """Makes 127.0.0.1:`port` lead to 127.0.0.1:`target`, and cuts it all every so often, on the average, once `may_cut` is set."""
    rng, cutter = random.Random(seed), Cutter(target)  # noqa: S311  # the same cuts for the same seed
    server = await asyncio.start_server(cutter.lead, "127.0.0.1", port)

    async def cut_on() -> None:
        await cutter.may_cut.wait()
        while True:
            await asyncio.sleep(rng.uniform(0, 2 * every_s))
            cutter.cut()

    cutting_on = asyncio.create_task(cut_on())
    try:
        yield cutter
    finally:
        cutting_on.cancel()
        server.close()
        cutter.cut()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
