"""Tiers of one frame: a thumbnail that is there, one made on demand, a preview and an original through their URLs."""

import argparse
import json
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from benchmarks.api import Api
from benchmarks.flood import flood
from benchmarks.frames import Frames
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result

__all__ = ["measure", "tier_queries"]

_SIZE_BYTES = 100_000
Times = dict[str, list[float]]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=30, help="frames in each round (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """Stores fresh frames in each round and asks for their tiers, one after the other."""
    queries = bench.args.queries
    for turn in range(bench.args.rounds):
        frames = Frames("front_rgb", time.time_ns(), _SIZE_BYTES)
        session = f"frames-{turn}"
        hello = {"robot_id": bench.robot_id, "session_id": session, "producer": "bench"}
        await bench.elsewhere(flood, bench.url, "/api/v1/ingest", frames, hello=hello, frames=queries - 1)
        result.add_waits(await bench.elsewhere(tier_queries, bench.url, bench.robot_id, session, queries))
    for name in ("thumbnail that is there", "preview that is there", "original"):
        result.goal(f"a recent frame, {name}, p95", 100, measure=f"{name}: p95", at_most=True)


def tier_queries(url: str, robot_id: str, session: str, frames: int) -> Times:
    """Milliseconds of each sort of query; an address that redirects counts with what it leads to."""
    page = json.loads(Api(url).get(f"/sessions/{robot_id}/{session}/records", stream="front_rgb", limit=frames))
    items: list[dict[str, Any]] = page["items"]
    if len(items) != frames:
        raise RuntimeError(f"{len(items)} frames are there of {frames}")
    ids = [item["record_id"] for item in items]
    fetcher = _Fetcher(url)
    return {
        "thumbnail made on demand": [fetcher.timed_ms(f"/api/v1/frames/{name}/thumbnail") for name in ids],
        "thumbnail that is there": [fetcher.timed_ms(f"/api/v1/frames/{name}/thumbnail") for name in ids],
        "preview on first asking": [fetcher.timed_ms(f"/api/v1/frames/{name}/preview") for name in ids],
        "preview that is there": [fetcher.timed_ms(f"/api/v1/frames/{name}/preview") for name in ids],
        "original": [fetcher.timed_ms(item["urls"]["original"]) for item in items],
    }


class _Fetcher:
    """Gets an address, and what it leads to, over one kept connection to each host."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: dict[str, HTTPConnection] = {}

    def timed_ms(self, address: str) -> float:
        """Milliseconds until the last byte was there; a tier that is being made is asked for until it is."""
        began_s = time.perf_counter()
        status, location = self._get(address)
        while status in (202, 307):
            if time.perf_counter() - began_s > 30:
                raise TimeoutError(f"{address} is not there after 30 s")
            status, location = self._get(location or address)
        if status != 200:
            raise RuntimeError(f"{address} gave {status}")
        return (time.perf_counter() - began_s) * 1000

    def _get(self, address: str) -> tuple[int, str | None]:
        where = urlsplit(address if "://" in address else self._url + address)
        connection = self._connections.setdefault(where.netloc, HTTPConnection(where.netloc, timeout=60))
        connection.request("GET", where.path + (f"?{where.query}" if where.query else ""))
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Location")


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(rounds=3, worker=True, options=_options))
