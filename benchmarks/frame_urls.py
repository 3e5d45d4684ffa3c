"""A page of 1000 frames with three URLs each, beside a bare find of the same documents."""

import argparse
import json
import time
from typing import Any

from pymongo import MongoClient

from benchmarks.api import Api
from benchmarks.flood import flood
from benchmarks.frames import Frames
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result

__all__ = ["bare_finds", "measure", "url_queries"]

_FRAMES = 4000
_PAGE = 1000
_SIZE_BYTES = 4000
_STEP_NS = 33_333_333
Times = dict[str, list[float]]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=30, help="queries of each sort and round (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """Stores 4000 small frames, then asks for pages of 1000 from changing starts."""
    start_ns = time.time_ns() - 3_600_000_000_000
    frames = Frames("front_rgb", start_ns, _SIZE_BYTES)
    hello = {"robot_id": bench.robot_id, "session_id": "frames", "producer": "bench"}
    await bench.elsewhere(flood, bench.url, "/api/v1/ingest", frames, hello=hello, frames=_FRAMES - 1)
    shape = (bench.robot_id, start_ns, bench.args.queries)
    for turn in range(bench.args.rounds):
        result.add_waits(await bench.elsewhere(url_queries, bench.url, *shape, turn))
        mongo = bench.config.mongo
        result.add_waits(await bench.elsewhere(bare_finds, mongo.url, mongo.database, *shape, turn))
    result.goal("1000 frames with three URLs each, p95", 50, measure="a new page of 1000 frames: p95", at_most=True)
    result.notes.append("verified: every page had 1000 frames, each with three different URLs")


def _starts(start_ns: int, queries: int, turn: int) -> list[int]:
    """Starts that nobody asked for before: a frame each, so that no page is like another."""
    step = (_FRAMES - _PAGE) // queries
    return [start_ns + (turn + number * step) * _STEP_NS - 1 for number in range(queries)]


def url_queries(url: str, robot_id: str, start_ns: int, queries: int, turn: int) -> Times:
    """Milliseconds of each query, by what was asked.

    Raises:
        RuntimeError: a page has too few frames, or a frame too few URLs.
    """
    api, path = Api(url), f"/sessions/{robot_id}/frames/records"
    starts = _starts(start_ns, queries, turn)
    fresh, bodies = [], []
    for start in starts:
        waited_ms, body = api.timed_ms(path, stream="front_rgb", start=start, limit=_PAGE)
        fresh.append(waited_ms)
        bodies.append(body)
    again = [api.timed_ms(path, stream="front_rgb", start=starts[-1], limit=_PAGE)[0] for _ in starts]
    pages = [_ids(body) for body in bodies]
    by_id = []
    for ids in pages:
        began_s = time.perf_counter()
        api.ask("POST", "/frames/urls", {"frame_ids": ids, "tiers": []})
        by_id.append((time.perf_counter() - began_s) * 1000)
    return {
        "a new page of 1000 frames": fresh,
        "the same page again": again,
        "POST /frames/urls of 1000 ids": by_id,
    }


def _ids(body: bytes) -> list[str]:
    items: list[dict[str, Any]] = json.loads(body)["items"]
    if len(items) != _PAGE or any(len({*item["urls"].values()} - {None}) != 3 for item in items):
        raise RuntimeError(f"a page has {len(items)} frames, or a frame too few URLs")
    return [item["record_id"] for item in items]


def bare_finds(mongo_url: str, database: str, robot_id: str, start_ns: int, queries: int, turn: int) -> Times:
    """Milliseconds of plain finds of the documents behind the same pages, without URLs and without JSON."""
    waited: list[float] = []
    with MongoClient[dict[str, Any]](mongo_url) as client:
        frames = client[database]["frames_metadata"]
        for start in _starts(start_ns, queries, turn):
            query = {"robot_id": robot_id, "session_id": "frames", "stream": "front_rgb", "t_ns": {"$gte": start}}
            began_s = time.perf_counter()
            found = list(frames.find(query).sort("t_ns", 1).limit(_PAGE))
            waited.append((time.perf_counter() - began_s) * 1000)
            if len(found) != _PAGE:
                raise RuntimeError(f"{len(found)} documents were found")
    return {"bare find of 1000 documents": waited}


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(rounds=3, options=_options))
