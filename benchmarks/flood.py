"""One robot that sends as fast as the acks let it, or at a fixed rate, and times every ack."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from benchmarks.websocket import FastSocket

__all__ = ["Flooded", "Source", "flood"]

_PATIENCE_S = 30.0
_PACK, _UNPACK = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(dict[str, object])
_UNJSON = msgspec.json.Decoder(dict[str, object])


class Source(Protocol):
    """What is sent.

    Attributes:
        stream: whose acks count.
        each: wire messages in one frame.
        text: whether frames are text.
    """

    stream: str
    each: int
    text: bool

    def pieces(self, number: int) -> Sequence[bytes]:
        """The frame of a number, 0 being the first, in pieces."""


@dataclass(frozen=True, slots=True)
class Flooded:
    """What came of it.

    Attributes:
        frames: acked, without the first one, which opens the stream.
        seconds: from the first frame to the last ack.
        ack_p50_ms, ack_p99_ms: from when a frame was sent, or with a rate from when it was due, to its ack.
        cores: what this process took.
        sent: frames in all; the next flood of the same stream goes on from there.
    """

    frames: int
    seconds: float
    ack_p50_ms: float
    ack_p99_ms: float
    cores: float
    sent: int

    @property
    def per_s(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


class _Robot:
    """A socket, and what of its frames is acked."""

    def __init__(self, url: str, path: str, source: Source, hello: dict[str, str] | None) -> None:
        self._source = source
        self._socket = FastSocket(url, path)
        self._window, self._window_bytes = 64 * source.each, 1 << 40  # of bytes nothing is known before a welcome
        self._base: int | None = None  # what the first frame was acked as: the server may have numbered it
        self._acked = 0
        self._waiting: deque[tuple[float, int]] = deque()  # when it counts from, and bytes, of each un-acked frame
        self._waiting_bytes = 0
        if hello:
            packed = _PACK.encode({"type": "hello", **hello})
            self._socket.send([packed], len(packed))
            while not (answers := self._heard(_PATIENCE_S)):
                pass
            self._limit(answers[0], "limits")

    def open(self, number: int) -> None:
        """Sends one frame and waits for its ack."""
        self._send(number, time.perf_counter())
        while self._waiting:
            self._acks(_PATIENCE_S)

    def run(self, first: int, last: float, seconds: float, per_s: float | None) -> Flooded:
        """Sends the frames from `first` on, up to `last` or until the time is over, and waits for the last ack."""
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        number, waited = first, list[float]()
        while number <= last and (now_s := time.perf_counter()) < began_s + seconds:
            due_s = now_s if per_s is None else began_s + (number - first) / per_s
            if not self._has_room:
                waited += self._acks(_PATIENCE_S)
            elif due_s > now_s:
                waited += self._acks(due_s - now_s)
            else:
                self._send(number, due_s)
                number += 1
                if number % 4 == 0:  # looking for acks after each frame costs more than it tells
                    waited += self._acks(0.0)
        while self._waiting:
            waited += self._acks(_PATIENCE_S)
        spent_s = time.perf_counter() - began_s
        p50, p99 = (float(np.percentile(waited, p)) * 1000 for p in (50, 99))
        return Flooded(len(waited), spent_s, p50, p99, (time.process_time() - began_cpu_s) / spent_s, number)

    def leave(self, *, bye: bool) -> None:
        """Closes the connection, after a `bye` that ends the session."""
        packed = _PACK.encode({"type": "bye"})
        if bye:
            self._socket.send([packed], len(packed))
            with suppress(ConnectionError):
                while True:
                    self._heard(_PATIENCE_S)
        self._socket.close()

    @property
    def _has_room(self) -> bool:
        messages = (len(self._waiting) + 1) * self._source.each
        return messages <= self._window and self._waiting_bytes < self._window_bytes and not self._socket.sending

    def _send(self, number: int, since_s: float) -> None:
        pieces = self._source.pieces(number)
        size_bytes = sum(map(len, pieces))
        self._waiting.append((since_s, size_bytes))
        self._waiting_bytes += size_bytes
        self._socket.send(pieces, size_bytes, text=self._source.text)

    def _heard(self, timeout_s: float) -> list[dict[str, object]]:
        """What the server says within the time, after which it may be nothing; all of 30 s is too long.

        Raises:
            TimeoutError: nothing was heard, and nothing could be sent, for 30 s.
        """
        if not self._socket.wait(timeout_s):
            if timeout_s >= _PATIENCE_S:
                raise TimeoutError(f"the server is silent for {timeout_s:g} s")
            return []
        self._socket.flush()
        return [(_UNJSON if message[:1] == b"{" else _UNPACK).decode(message) for message in self._socket.receive()]

    def _acks(self, timeout_s: float) -> list[float]:
        """Waits for answers, and gives how long each frame that is acked now has waited, in seconds."""
        waited: list[float] = []
        for said in self._heard(timeout_s):
            if said["type"] == "reject":
                raise RuntimeError(f"the server rejected a message: {said}")
            if said["type"] == "flow":
                self._limit({"flow": said}, "flow")
            if said["type"] == "ack":
                now_s = time.perf_counter()
                waited += [now_s - since_s for since_s in self._settled(said)]
        return waited

    def _settled(self, ack: dict[str, object]) -> list[float]:
        """When each frame counts from that this ack is the first to cover."""
        seq = msgspec.convert(ack["acked"], dict[str, int])[self._source.stream]
        if self._base is None:
            self._base = seq - self._source.each
        frames = (seq - self._base) // self._source.each - self._acked
        self._acked += frames
        gone = [self._waiting.popleft() for _ in range(frames)]
        self._waiting_bytes -= sum(size for _, size in gone)
        return [since_s for since_s, _ in gone]

    def _limit(self, said: dict[str, object], name: str) -> None:
        limits = msgspec.convert(said[name], dict[str, object])
        self._window = msgspec.convert(limits["window"], int)
        self._window_bytes = msgspec.convert(limits["window_bytes"], int)


def flood(
    url: str,
    path: str,
    source: Source,
    *,
    hello: dict[str, str] | None = None,
    first: int = 0,
    frames: int | None = None,
    seconds: float | None = None,
    per_s: float | None = None,
    bye: bool = False,
) -> Flooded:
    """Sends frames until there were enough of them or the time is over, and waits for the last ack.

    Args:
        url: of the server.
        path: of its socket.
        source: what is sent.
        hello: what to say first; without it nothing is said, and 64 frames may be un-acked.
        first: number of the first frame.
        frames: how many to send after the first one.
        seconds: for how long to send.
        per_s: frames a second; as fast as the acks let it when None.
        bye: whether to end the session.

    Raises:
        RuntimeError: a message was rejected.
        TimeoutError: nothing was heard for 30 s.
    """
    robot = _Robot(url, path, source, hello)
    robot.open(first)
    last = float("inf") if frames is None else first + frames
    found = robot.run(first + 1, last, float("inf") if seconds is None else seconds, per_s)
    robot.leave(bye=bye)
    return found
