"""Three robots under load for tests that kill servers: our client, a plain WebSocket, and HTTP bodies sent again."""

import asyncio
import contextlib
import io
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import numpy as np
import websockets
from PIL import Image

from datamanager.client import AsyncRobot

__all__ = ["BodySender", "PlainSender", "SdkSender", "Sent", "picture"]

GONE = (OSError, TimeoutError, websockets.WebSocketException)
_ENCODER = msgspec.msgpack.Encoder()


def picture(number: int) -> bytes:
    """A small JPEG that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@dataclass(slots=True)
class Sent:
    """What was sent, by stream: ids of samples, bytes of frames by time, messages of logs by time."""

    session: str
    samples: dict[str, list[int]] = field(default_factory=dict)
    frames: dict[str, dict[int, bytes]] = field(default_factory=dict)
    logs: dict[str, dict[int, str]] = field(default_factory=dict)

    def ids(self, stream: str, count: int) -> range:
        """The next `count` ids of a stream."""
        known = self.samples.setdefault(stream, [])
        new = range(len(known), len(known) + count)
        known.extend(new)
        return new


class SdkSender:
    """Logs through our own client."""

    def __init__(self, url: str, session: str) -> None:
        self.sent = Sent(session)
        self.robot = AsyncRobot(url, "kills", session)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Logs until `stop`, then until all is acked."""
        number = 0
        async with self.robot as robot:
            while not self._stop.is_set():
                number += 1
                t_ns = time.time_ns()
                ids = np.array(self.sent.ids("joints", 20))
                assert robot.stream("joints").log_batch(t_ns + np.arange(20), {"id": ids, "x": np.sqrt(ids)})
                for i in self.sent.ids("single", 4):
                    assert robot.stream("single").log(t_ns + i, {"id": i, "nested": {"y": i / 3}})
                if number % 5 == 0:
                    data = picture(number)
                    self.sent.frames.setdefault("cam", {})[t_ns] = data
                    assert robot.stream("cam").log_image(t_ns, data)
                    self.sent.logs.setdefault("log", {})[t_ns] = f"line {number}"
                    assert robot.stream("log").log_text(t_ns, f"line {number}")
                await asyncio.sleep(0.02)
            await robot.flush(120)
            assert (robot.stats.rejected, robot.stats.dropped) == (0, 0), robot.rejects[:3]

    def stop(self) -> None:
        """Ends the load."""
        self._stop.set()


class PlainSender:
    """One producer on a plain WebSocket: holds what is not acked, and sends it again, with or without saying so.

    Attributes:
        breaches: acks that went back or covered what was never sent.
        moves: how often it connected.

    Args:
        stay_s: after so long it connects to the next of `urls`, leaving the old connection open for a while.
    """

    def __init__(self, urls: list[str], session: str, *, stay_s: float = float("inf")) -> None:
        self.urls = urls
        self.sent = Sent(session)
        self.breaches: list[str] = []
        self.rejects: list[Any] = []
        self.held: dict[tuple[str, int], dict[str, Any]] = {}
        self.acked: dict[str, int] = {}
        self.next: dict[str, int] = {}
        self.moves = 0
        self._stay_s = stay_s
        self._left: list[websockets.ClientConnection] = []
        self._stop = asyncio.Event()
        self._number = 0

    def stop(self) -> None:
        """Ends the load."""
        self._stop.set()

    async def run(self) -> None:
        """Sends until `stop`, then until all is acked."""
        while not self._stop.is_set() or self.held:
            with contextlib.suppress(*GONE):
                ws = await self._connect()
                listening = asyncio.create_task(self._listen(ws))
                try:
                    await self._speak(ws, listening)
                finally:
                    listening.cancel()
                    await asyncio.wait({listening})
                    self._left.append(ws)
            for old in self._left[:-1]:
                await old.close()
            del self._left[:-1]
            await asyncio.sleep(0.05)
        for old in self._left:
            await old.close()

    async def _speak(self, ws: websockets.ClientConnection, listening: asyncio.Task[None]) -> None:
        for message in list(self.held.values()):
            await ws.send(_ENCODER.encode(message | {"redelivery": True}))
        until_s = time.monotonic() + self._stay_s
        while not listening.done() and time.monotonic() < until_s and (not self._stop.is_set() or self.held):
            if not self._stop.is_set() and len(self.held) < 2000:
                self._number += 1
                for message in self._messages(self._number):
                    await ws.send(_ENCODER.encode(message))
            await asyncio.sleep(0.02)

    async def _connect(self) -> websockets.ClientConnection:
        self.moves += 1
        url = self.urls[self.moves % len(self.urls)]
        ws = await websockets.connect(
            f"ws{url[4:]}/api/v1/ingest",
            max_size=None,
            compression=None,
            proxy=None,
            open_timeout=10,
            close_timeout=0.1,
        )
        hello = {"type": "hello", "robot_id": "kills", "session_id": self.sent.session, "producer": "plain"}
        await ws.send(_ENCODER.encode(hello))
        said = msgspec.msgpack.decode(await asyncio.wait_for(ws.recv(), 20))
        self._learn(said["acked"], welcome=True)
        return ws

    async def _listen(self, ws: websockets.ClientConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for frame in ws:
                said = msgspec.msgpack.decode(frame)  # type: ignore[arg-type]  # it is bytes, for we send bytes
                if said["type"] == "ack":
                    self._learn(said["acked"])
                if said["type"] == "reject":
                    self.rejects.append(said)

    def _learn(self, acked: dict[str, int], *, welcome: bool = False) -> None:
        for stream in self.acked.keys() | acked.keys() if welcome else acked:
            now, before = acked.get(stream, -1), self.acked.get(stream, -1)
            if now < before or now >= self.next.get(stream, 0):
                self.breaches.append(f"{stream}: {now} after {before}, welcome {welcome}")
        self.acked |= acked
        self.held = {key: m for key, m in self.held.items() if key[1] > self.acked.get(key[0], -1)}

    def _message(self, stream: str, kind: str, t_ns: int | None, payload: dict[str, Any]) -> dict[str, Any]:
        seq = self.next.get(stream, 0)
        self.next[stream] = seq + 1
        message = {"data_type": kind, "stream": stream, "seq": seq, "payload": payload}
        self.held[stream, seq] = message if t_ns is None else message | {"t_ns": t_ns}
        return self.held[stream, seq]

    def _messages(self, number: int) -> list[dict[str, Any]]:
        t_ns = time.time_ns()
        ids = np.array(self.sent.ids("plain/columns", 20))
        times = t_ns + np.arange(20)
        payload = {
            "t_ns": times.tobytes(),
            "channels": {"id": ids.tobytes(), "x": np.sqrt(ids).tobytes()},
            "dtypes": {"id": "int64"},
        }
        found = [self._message("plain/columns", "time_series", None, payload)]
        found += [
            self._message("plain/single", "time_series", t_ns + i, {"id": i, "y": i / 7})
            for i in self.sent.ids("plain/single", 3)
        ]
        if number % 5 == 0:
            data = picture(10**6 + number)
            self.sent.frames.setdefault("plain/cam", {})[t_ns] = data
            found.append(self._message("plain/cam", "images", t_ns, {"format": "jpeg", "data": data}))
            self.sent.logs.setdefault("plain/log", {})[t_ns] = f"plain {number}"
            found.append(self._message("plain/log", "log", t_ns, {"level": "info", "message": f"plain {number}"}))
        return found


class BodySender:
    """Sends numbered bodies over HTTP, each again until it is answered; and unnumbered ones, once each.

    Attributes:
        unnumbered: ids of messages without a number in bodies that were answered.
    """

    def __init__(self, urls: list[str], session: str) -> None:
        self.urls = urls
        self.sent = Sent(session)
        self.unnumbered: list[int] = []
        self.answers: list[dict[str, Any]] = []
        self.bodies = self.repeated = 0
        self._tried = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ends the load."""
        self._stop.set()

    async def run(self) -> None:
        """Sends until `stop`."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            while not self._stop.is_set():
                await self._numbered(http)
                await self._unnumbered(http)

    async def _numbered(self, http: httpx.AsyncClient) -> None:
        ids = self.sent.ids("http/numbered", 60)
        t_ns = time.time_ns()
        lines = [{"stream": "http/numbered", "seq": i, "t_ns": t_ns + i, "payload": {"id": i}} for i in ids]
        body = self._body("http", lines)
        self.bodies += 1
        while True:
            answer = await self._post(http, body)
            if answer is not None:
                assert (answer["accepted"], answer["rejected"]) == (len(ids), 0), answer
                return
            self.repeated += 1
            await asyncio.sleep(0.2)

    async def _unnumbered(self, http: httpx.AsyncClient) -> None:
        ids = range(self._tried, self._tried + 20)
        self._tried += 20
        lines = [{"stream": "http/unnumbered", "t_ns": time.time_ns() + i, "payload": {"id": i}} for i in ids]
        if await self._post(http, self._body(None, lines)) is not None:
            self.unnumbered += ids

    def _body(self, producer: str | None, lines: list[dict[str, Any]]) -> bytes:
        hello = {"type": "hello", "robot_id": "kills", "session_id": self.sent.session}
        first = hello if producer is None else hello | {"producer": producer}
        kind = {"data_type": "time_series"}
        return b"\n".join([msgspec.json.encode(first), *(msgspec.json.encode(kind | line) for line in lines)])

    async def _post(self, http: httpx.AsyncClient, body: bytes) -> dict[str, Any] | None:
        url = self.urls[(self.bodies + self.repeated) % len(self.urls)]
        try:
            answer = await http.post(
                f"{url}/api/v1/ingest", content=body, headers={"content-type": "application/x-ndjson"}
            )
        except httpx.TransportError:
            return None
        return dict(answer.json()) if answer.status_code == 200 else None
