"""A robot that speaks the wire protocol by itself, so that it can say anything, right or wrong."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgpack
import websockets

__all__ = ["RawRobot", "read_range"]

T0 = 1_700_000_000_000_000_000


class RawRobot:
    """One WebSocket, and what was said on it.

    Attributes:
        said: every answer, in order; `forms`: text or bytes, each.
        acked: stream to the last seq acked, by the welcome or since.
        rejects: every reject.
    """

    def __init__(self, url: str, session: str, *, robot: str = "raw", path: str = "/api/v1/ingest") -> None:
        self.url, self.robot, self.session = url, robot, session
        self.said: list[dict[str, Any]] = []
        self.forms: list[type] = []
        self.acked: dict[str, int] = {}
        self.rejects: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self._path = path
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        self.ws = await websockets.connect(
            f"ws://{parts.netloc}{self._path}", max_size=None, compression=None, proxy=None
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ws.transport.abort()
        if self._reader is not None:
            await asyncio.wait({self._reader})

    async def hello(self, producer: str = "p", **more: Any) -> dict[str, Any]:
        """Says hello and waits for the welcome."""
        before = self.welcome
        await self.put(
            {"type": "hello", "robot_id": self.robot, "session_id": self.session, "producer": producer} | more
        )
        await self.until(lambda: self.welcome is not before)
        return self.welcome

    async def put(self, value: Any, *, text: bool = False) -> None:
        """Sends any value."""
        await self.ws.send(json.dumps(value) if text else msgpack.packb(value))

    async def send(self, seq: int | None, payload: Any = None, *, text: bool = False, **more: Any) -> None:
        """Sends a data message: a sample of the stream `x`, unless something else is said."""
        message = {"data_type": "time_series", "stream": "x", "t_ns": T0, "payload": payload or {"id": seq}}
        message |= {} if seq is None else {"seq": seq}
        await self.put(message | more, text=text)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 30) -> None:
        """Waits until something is so; fails when the socket is closed before."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                assert self._reader is not None
                assert not self._reader.done(), f"closed with {self.ws.close_code} {self.ws.close_reason}"
                self._changed.clear()
                await self._changed.wait()

    async def closed(self, timeout_s: float = 30) -> int:
        """Waits for the close; its code."""
        assert self._reader is not None
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({self._reader})
        return self.ws.close_code or 0

    async def refused(self, value: Any, *, text: bool = False) -> str:
        """Sends a value that is to be refused; the code of the reject."""
        before = len(self.rejects)
        await (self.ws.send(value) if isinstance(value, str | bytes) else self.put(value, text=text))
        await self.until(lambda: len(self.rejects) > before)
        return str(self.rejects[before]["code"])

    async def _read(self) -> None:
        try:
            async for frame in self.ws:
                said = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
                self.said.append(said)
                self.forms.append(type(frame))
                if said["type"] == "welcome" or (said["type"] == "ack" and "producer" not in said):
                    self.acked |= said["acked"]
                if said["type"] == "welcome":
                    self.welcome = said
                if said["type"] == "reject":
                    self.rejects.append(said)
                self._changed.set()
        except websockets.ConnectionClosed:
            return
        finally:
            self._changed.set()


async def read_range(url: str, session: str, stream: str = "x", *, robot: str = "raw", **params: Any) -> list[Any]:
    """A stream's samples as rows: `t_ns` and the channels."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        path = f"/api/v1/sessions/{robot}/{session}/range"
        answer = await http.get(path, params={"stream": stream, "format": "ndjson"} | params)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.split("\n") if line]
