"""A small HTTP server on loopback that webhooks call: it keeps what it gets, and answers as it is told."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call", "Target", "webhook_target"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its headers (lower case), and its body read as JSON."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Target:
    """The server.

    Attributes:
        calls: what came, in order.
        answers: by path, what is written back for the nth call of it; a number is a status.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Callable[[int], Any]] = field(default_factory=dict)
    sent_bytes: int = 0

    def on(self, path: str) -> list[Call]:
        """The calls of a path."""
        return [call for call in self.calls if call.path == path]

    async def until(self, path: str, count: int, timeout_s: float = 30) -> list[Call]:
        """The calls of a path, once there are so many."""
        async with asyncio.timeout(timeout_s):
            while len(self.on(path)) < count:  # noqa: ASYNC110  # what comes is seen soon enough
                await asyncio.sleep(0.02)
        return self.on(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one request, and closes."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            path = request.split(" ")[1]
            self.calls.append(Call(path, headers, json.loads(body)))
            answer = self.answers.get(path, lambda _: 200)(len(self.on(path)))
            if isinstance(answer, int):
                answer = f"HTTP/1.1 {answer} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            async for piece in _pieces(answer):
                writer.write(piece)
                await writer.drain()
                self.sent_bytes += len(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # a caller that leaves is part of what is tested
        finally:
            writer.close()


async def _pieces(answer: Any) -> AsyncIterator[bytes]:
    if isinstance(answer, bytes):
        yield answer
        return
    async for piece in answer:
        yield piece


@asynccontextmanager
async def webhook_target(tls: ssl.SSLContext | None = None) -> AsyncIterator[Target]:
    """A server on a free port; of `https` with a context."""
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    target.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield target
    finally:
        server.close()
