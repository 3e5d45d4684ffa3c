"""Remote calls: milliseconds from a caller's request to its answer, through one server process and through two.

The alternative beside it is the least that the same two hops can take: `GET /health` of the server, twice.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import msgpack
import numpy as np
import uvloop
from websockets.asyncio.client import connect

from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result

__all__ = ["answer_calls", "make_calls", "measure"]

_WARM_UP = 50


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--callers", type=int, default=1, help="callers at the same time (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """A robot at one server, callers at it and at the other one, for `--seconds`, `--rounds` times."""
    result.settings["callers"] = bench.args.callers
    robot = asyncio.create_task(answer_calls(bench.url, bench.robot_id))
    try:
        for _ in range(bench.args.rounds):
            for name, url in (("one process", bench.url), ("two processes", bench.urls[1])):
                took = await bench.elsewhere(make_calls, url, bench.robot_id, bench.args.callers, bench.args.seconds)
                for quantile in (50, 95, 99):
                    result.add(f"rpc through {name}, p{quantile}", "ms", float(np.percentile(took, quantile)))
                result.add(f"rpc through {name}", "calls/s", len(took) / bench.args.seconds)
            bare = await bench.elsewhere(ask_health, bench.url, bench.args.callers, bench.args.seconds)
            result.add("two bare requests, p99", "ms", float(np.percentile(bare, 99)))
    finally:
        robot.cancel()
        await asyncio.wait({robot})
    result.goal("remote call through two processes, p99", 10, measure="rpc through two processes, p99", at_most=True)


async def answer_calls(url: str, robot_id: str) -> None:
    """A robot that answers `echo`, as fast as it can."""
    hello = {"type": "hello", "robot_id": robot_id, "session_id": "rpc", "producer": "bench", "methods": ["echo"]}
    async with connect(f"ws{url[4:]}/api/v1/ingest", compression=None, proxy=None) as socket:
        await socket.send(msgpack.packb(hello))
        async for frame in socket:
            said = msgpack.unpackb(frame)
            if said["type"] == "rpc":
                answer = {"type": "rpc", "jsonrpc": "2.0", "id": said["id"], "result": said["params"]}
                await socket.send(msgpack.packb(answer))


def make_calls(url: str, robot_id: str, callers: int, seconds: float) -> list[float]:
    """How long each call took, in milliseconds."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"x": 1.5}}

    async def one(http: httpx.AsyncClient) -> None:
        answer = (await http.post(f"/api/v1/rpc/{robot_id}", json=call)).json()
        if answer.get("result") != call["params"]:
            raise RuntimeError(f"a call was answered with {answer}")

    return _timed(url, one, callers, seconds)


def ask_health(url: str, callers: int, seconds: float) -> list[float]:
    """How long two requests took that the server answers by itself, in milliseconds."""

    async def two(http: httpx.AsyncClient) -> None:
        for _ in range(2):
            (await http.get("/health")).raise_for_status()

    return _timed(url, two, callers, seconds)


def _timed(url: str, work: Callable[[httpx.AsyncClient], Awaitable[None]], callers: int, seconds: float) -> list[float]:
    took: list[float] = []

    async def caller(until_s: float) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            for _ in range(_WARM_UP):
                await work(http)
            while time.perf_counter() < until_s:
                began_s = time.perf_counter()
                await work(http)
                took.append((time.perf_counter() - began_s) * 1000)

    async def run() -> None:
        until_s = time.perf_counter() + seconds
        await asyncio.gather(*(caller(until_s) for _ in range(callers)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return took


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(options=_options, serves=2))
