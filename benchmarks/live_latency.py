"""Live: 10 robots at 100 Hz, each watched by a viewer; milliseconds from when a sample was due to when it was seen.

Robots and viewers are two processes of one machine, so that one clock tells both times.
"""

import argparse
import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import msgpack
import msgspec
import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from benchmarks.sources import CHANNELS

__all__ = ["measure", "send_robots", "watch_robots"]

_PERIOD_S = 0.01
_STREAM = "joints"
_SETTLE_S = 1.0  # what is sent before is not counted: connections and streams are opened meanwhile
_DECODE = msgspec.msgpack.Decoder(dict[str, object])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--robots", type=int, default=10, help="robots, each with one viewer (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """Robots in one process, viewers in another, for `--seconds`, `--rounds` times."""
    loop, robots = asyncio.get_running_loop(), bench.args.robots
    result.settings["robots"] = robots
    with ProcessPoolExecutor(1, get_context("spawn")) as viewers:
        for turn in range(bench.args.rounds):
            names = [f"{bench.robot_id}-{turn}-{number}" for number in range(robots)]
            bench.cpu.start()
            watching = loop.run_in_executor(viewers, watch_robots, bench.url, names, bench.args.seconds)
            late_p99_ms, sent = await bench.elsewhere(send_robots, bench.url, names, bench.args.seconds)
            seen = await watching
            _add(result, seen, late_p99_ms, sent, bench)
    result.goal("robot to viewer, p99", 20, measure="live p99", at_most=True)


def _add(result: Result, seen: list[float], late_p99_ms: float, sent: int, bench: Bench) -> None:
    if len(seen) != sent:
        result.notes.append(f"WRONG: {len(seen)} samples were seen of {sent}")
    shares = bench.cpu.shares()
    for name, value in zip(("p50", "p95", "p99", "p99.9"), np.percentile(seen, (50, 95, 99, 99.9)), strict=True):
        result.add(f"live {name}", "ms", float(value))
    result.add("live, longest", "ms", max(seen))
    result.add("robots late with sending, p99", "ms", late_p99_ms)
    result.add("samples seen", "samples", len(seen))
    for process in ("serve", "mongod", "redis", "load", "others"):
        result.add(f"live: {process}", "cores", shares.get(process, 0.0))


def send_robots(url: str, names: list[str], seconds: float) -> tuple[float, int]:
    """Every robot sends a sample each 10 ms, one robot after the other in a period.

    Returns:
        How late the sender itself was, p99 in milliseconds, and how many samples count.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send_robots(url, names, seconds))


async def _send_robots(url: str, names: list[str], seconds: float) -> tuple[float, int]:
    sockets = [await connect(f"ws{url[4:]}/api/v1/ingest", compression=None, proxy=None) for _ in names]
    for socket, name in zip(sockets, names, strict=True):
        await socket.send(msgpack.packb({"type": "hello", "robot_id": name, "session_id": "live", "producer": "bench"}))
        await socket.recv()
    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(_ignore(socket)) for socket in sockets]
        begin_ns = time.time_ns()
        robots = [
            group.create_task(_robot(socket, begin_ns + int(n * 1e9 * _PERIOD_S / len(names)), seconds + _SETTLE_S))
            for n, socket in enumerate(sockets)
        ]
        late = [late_ms for robot in robots for late_ms in await robot]
        await asyncio.sleep(0.5)
        for task in listening:
            task.cancel()
    for socket in sockets:
        await socket.close()
    return float(np.percentile(late, 99)), len(late)


async def _ignore(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def _robot(socket: ClientConnection, begin_ns: int, seconds: float) -> list[float]:
    """How late each counted sample was sent, in milliseconds."""
    values = [float(v) for v in np.random.default_rng(1).normal(size=len(CHANNELS) - 1)]
    sample = dict(zip(CHANNELS[:-1], values, strict=True))
    late: list[float] = []
    settle = round(_SETTLE_S / _PERIOD_S)
    for number in range(round(seconds / _PERIOD_S)):
        due_ns = begin_ns + int(number * _PERIOD_S * 1e9)
        await asyncio.sleep(max(0.0, (due_ns - time.time_ns()) / 1e9))
        payload = {**sample, "counts": number >= settle}
        message = {"data_type": "time_series", "stream": _STREAM, "seq": number, "t_ns": due_ns, "payload": payload}
        if number >= settle:
            late.append((time.time_ns() - due_ns) / 1e6)
        await socket.send(msgpack.packb(message))
    return late


def watch_robots(url: str, names: list[str], seconds: float) -> list[float]:
    """Milliseconds from when each counted sample was due to when it was seen, over all robots."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_watch_robots(url, names, seconds))


async def _watch_robots(url: str, names: list[str], seconds: float) -> list[float]:
    seen = await asyncio.gather(*(_watch(url, name, seconds) for name in names))
    return [waited_ms for one in seen for waited_ms in one]


async def _watch(url: str, name: str, seconds: float) -> list[float]:
    waited: list[float] = []
    expected = round(seconds / _PERIOD_S)
    address = f"ws{url[4:]}/api/v1/live?robot_id={name}&session_id=live&format=msgpack"
    async with connect(address, compression=None, proxy=None, max_queue=None) as socket:
        await socket.recv()  # welcome
        try:
            async with asyncio.timeout(seconds + _SETTLE_S + 20):
                while True:
                    frame = await socket.recv(decode=False)
                    now_ns = time.time_ns()
                    message = _DECODE.decode(frame)
                    if message.get("t_ns") is not None and _counts(message):
                        waited.append((now_ns - msgspec.convert(message["t_ns"], int)) / 1e6)
                    if len(waited) == expected:
                        break
        except TimeoutError:
            return waited  # what is missing shows in the count
    return waited


def _counts(message: dict[str, object]) -> bool:
    payload = msgspec.convert(message["payload"], dict[str, dict[str, list[object]] | list[int]])
    channels = msgspec.convert(payload["channels"], dict[str, list[object]])
    return channels["counts"] == [True]


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(seconds=10, rounds=3, options=_options))
