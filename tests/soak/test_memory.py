"""The memory of `serve` stays flat and small under more load than it can take, from senders that ignore every limit."""

import asyncio
import contextlib
import itertools
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import websockets
from support.killing import Up, running_up

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
MOST_MB = 400
HUNG_S = 20.0
_CHANNELS = {f"joint.{i}": np.linspace(i, i + 1, 100).tobytes() for i in range(26)}


def _columns(stream: str) -> Iterator[bytes]:
    """Columnar messages of 100 samples."""
    start_ns = time.time_ns()
    for i in itertools.count():
        t_ns = start_ns + (100 * i + np.arange(100)) * 10_000_000
        payload = {"t_ns": t_ns.tobytes(), "channels": _CHANNELS}
        yield msgspec.msgpack.encode({"data_type": "time_series", "stream": stream, "seq": i, "payload": payload})


def _gaps() -> Iterator[bytes]:
    """Samples numbered with a gap after each."""
    for i in itertools.count():
        message = {"data_type": "time_series", "stream": "gaps", "seq": 2 * i, "t_ns": i, "payload": {"x": i}}
        yield msgspec.msgpack.encode(message)


def _lines() -> Iterator[bytes]:
    """Log lines, each a record."""
    for i in itertools.count():
        payload = {"level": "info", "message": f"line {i} " + 50 * "x"}
        yield msgspec.msgpack.encode({"data_type": "log", "stream": "log", "seq": i, "t_ns": i, "payload": payload})


def _bad() -> Iterator[bytes]:
    """Messages that are refused, each with a number."""
    for i in itertools.count():
        message = {"data_type": "time_series", "stream": "bad", "seq": i, "t_ns": -1, "payload": {"x": 100 * "x"}}
        yield msgspec.msgpack.encode(message)


async def _flood(url: str, session: str, messages: Iterator[bytes], *, listens: bool = True) -> None:
    """Sends as fast as the socket takes it, whatever the window; one that does not listen leaves all answers unread."""
    while True:
        with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
            ws = await websockets.connect(
                f"ws{url[4:]}/api/v1/ingest", max_size=None, compression=None, proxy=None, ping_interval=None
            )
            hello = {"type": "hello", "robot_id": "flood", "session_id": session, "producer": "p"}
            listening = asyncio.create_task(_drop(ws)) if listens else None
            try:
                await ws.send(msgspec.msgpack.encode(hello))
                for message in messages:
                    await ws.send(message)
            finally:
                ws.transport.abort()  # nobody takes leave of who does not listen
                if listening is not None:
                    await asyncio.wait({listening})
        await asyncio.sleep(0.2)


async def _drop(ws: websockets.ClientConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for _ in ws:
            pass


async def _watch(up: Up, seconds: float) -> list[float]:
    """Resident megabytes of `serve`, each second."""
    found = []
    serve = psutil.Process(up.pids("serve")[0])
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        found.append(serve.memory_info().rss / 1e6)
        await asyncio.sleep(1)
    return found


async def test_memory_is_flat_and_small_under_twice_the_load_that_can_be_taken(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        before = (await _watch(up, 1))[0]
        floods = [
            asyncio.create_task(_flood(up.url, name, messages, listens=listens))
            for name, messages, listens in (
                ("one", _columns("a"), True),
                ("two", _columns("b"), True),
                ("deaf", _columns("c"), False),
                ("gaps", _gaps(), True),
                ("log", _lines(), True),
                ("bad", _bad(), False),
            )
        ]
        try:
            rss = await _watch(up, 60 * MINUTES)
            mongod = up.pids("mongod")[0]
            os.kill(mongod, signal.SIGSTOP)  # a database that hangs is worse than a slow or a dead one
            try:
                hung = await _watch(up, HUNG_S)
            finally:
                os.kill(mongod, signal.SIGCONT)
            after = await _watch(up, 10)
        finally:
            for flood in floods:
                flood.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
    third = len(rss) // 3
    early, late = statistics.mean(rss[third : 2 * third]), statistics.mean(rss[2 * third :])
    every = max(1, len(rss) // 12)
    sys.__stderr__.write(
        f"\nserve, MB: {before:.0f} idle, over {MINUTES:g} minutes {[round(mb) for mb in rss[::every]]}, "
        f"most {max(rss):.0f}; mongod hung {HUNG_S:g} s: {max(hung):.0f}, after {max(after):.0f}\n"
    )
    assert max(*rss, *hung, *after) < MOST_MB
    assert late < early * 1.1 + 5
