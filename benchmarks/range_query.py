"""Ranges: an hour (and with `--day` a day) of 26 channels at 100 Hz, whole and in 1000 points, beside plain MongoDB."""

import argparse
import time
from typing import Any

import numpy as np
import pyarrow as pa
from pymongo import MongoClient

from benchmarks.api import Api
from benchmarks.bare_mongo import BATCH, bare_collection, sample_documents
from benchmarks.flood import flood
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from benchmarks.sources import CHANNELS, Columnar
from datamanager.config import MongoConfig

__all__ = ["bare_queries", "measure", "range_queries"]

_BATCHES = 3600  # of a second each: an hour
_HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000
_STREAM = "joints"
Times = dict[str, list[float]]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", action="store_true", help="load a day as well, and ask for 1000 points of it")
    parser.add_argument("--queries", type=int, default=20, help="queries of each sort and round (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """Loads, checks what comes back, then asks the server and plain MongoDB in turn, `--rounds` times."""
    start_ns = time.time_ns() // _HOUR_NS * _HOUR_NS - 24 * _HOUR_NS
    await _load(bench, result, "hour", start_ns, _BATCHES)
    spans = {"hour": _HOUR_NS}
    if bench.args.day:
        await _load(bench, result, "day", start_ns, 24 * _BATCHES)
        spans["day"] = 24 * _HOUR_NS
    await bench.elsewhere(check_hour, bench.url, bench.robot_id, start_ns)
    result.notes.append(f"verified: {100 * _BATCHES:,} rows came back, every value of them the one that was sent")
    shape = (bench.url, bench.robot_id, start_ns, bench.args.queries)
    for turn in range(bench.args.rounds):
        for session, span_ns in spans.items():
            _add(result, await bench.elsewhere(range_queries, *shape, session, span_ns, turn))
        bare = await bench.elsewhere(bare_queries, bench.config.mongo.url, f"{bench.robot_id}_{turn}", start_ns)
        _add(result, bare)
    _goals(result, spans)


def _goals(result: Result, spans: dict[str, int]) -> None:
    result.goal("an hour whole, as Arrow", 500, measure="hour whole as Arrow, new start: p50", at_most=True)
    for session in spans:
        result.goal(
            f"1000 points of the {session}, p95", 50, measure=f"{session} in 1000 points, new start: p95", at_most=True
        )
    whole, bare = result.median("hour whole as Arrow, new start: p50"), result.median("bare: find the hour")
    result.add("bare find / hour whole as Arrow", "x", bare / whole)
    points, bare = result.median("hour in 1000 points, new start: p50"), result.median("bare: $group the hour to 1000")
    result.add("bare $group / hour in 1000 points", "x", bare / points)


def _add(result: Result, times: Times) -> None:
    for name, waited_ms in times.items():
        if len(waited_ms) == 1:
            result.add(name, "ms", waited_ms[0])
        else:
            result.add_waits({name: waited_ms})


async def _load(bench: Bench, result: Result, session: str, start_ns: int, batches: int) -> None:
    hello = {"robot_id": bench.robot_id, "session_id": session, "producer": "bench"}
    source = Columnar(_STREAM, start_ns)
    found = await bench.elsewhere(flood, bench.url, "/api/v1/ingest", source, hello=hello, frames=batches - 1, bye=True)
    result.add(f"loading the {session}", "samples/s", found.per_s * 100)
    began_s = time.perf_counter()
    last_ns = int(source.times_ns(batches - 1)[-1])
    await bench.elsewhere(wait_for_rollups, bench.config.mongo, f"{bench.robot_id}/{session}/{_STREAM}", last_ns)
    result.add(f"rolling up the {session}", "s", time.perf_counter() - began_s)


def wait_for_rollups(config: MongoConfig, stream: str, last_ns: int) -> None:
    """Waits until a worker has rolled up all of a stream that ends with the sample of that time.

    Raises:
        TimeoutError: none has after two minutes.
    """
    with MongoClient[dict[str, Any]](config.url) as client:
        streams = client[config.database]["streams"]
        give_up_s = time.monotonic() + 120
        while not streams.count_documents({"_id": stream, "lod.last_ns": last_ns}):
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{stream} is not rolled up: does a worker run?")
            time.sleep(0.1)


def check_hour(url: str, robot_id: str, start_ns: int) -> None:
    """Reads the whole hour back and holds it against what was sent.

    Raises:
        RuntimeError: a row is missing, or a time or value is another one.
    """
    data = Api(url).get(f"/sessions/{robot_id}/hour/range", stream=_STREAM, format="arrow")
    table = pa.ipc.open_stream(data).read_all()
    source = Columnar(_STREAM, start_ns)
    sent = np.concatenate([source.values(number) for number in range(_BATCHES)], axis=1)
    times = np.concatenate([source.times_ns(number) for number in range(_BATCHES)])
    if table.num_rows != len(times) or not np.array_equal(table["t_ns"].to_numpy(), times):
        raise RuntimeError(f"{table.num_rows} rows came back for {len(times)}, or other times")
    for name, row in zip(CHANNELS, sent, strict=True):
        if table[name].to_numpy().tobytes() != row.tobytes():
            raise RuntimeError(f"channel {name} came back with other values")


def range_queries(url: str, robot_id: str, start_ns: int, queries: int, session: str, span_ns: int, turn: int) -> Times:
    """Milliseconds of each query, by what was asked. A new start is one that nobody asked for before."""
    api, path = Api(url), f"/sessions/{robot_id}/{session}/range"
    generator = np.random.default_rng(turn)
    offsets_ns = [int(o) for o in generator.integers(1, span_ns // 100, queries)]
    minutes_ns = [int(o) for o in generator.integers(0, span_ns - _MINUTE_NS, queries)]
    end_ns = start_ns + span_ns

    def ask(since_ns: int, until_ns: int, **more: object) -> float:
        return api.timed_ms(path, stream=_STREAM, start=since_ns, end=until_ns, format="arrow", **more)[0]

    times: Times = {}
    if session == "hour":
        whole = offsets_ns[: max(3, queries // 4)]
        times["hour whole as Arrow, new start"] = [ask(start_ns + o // 100, end_ns) for o in whole]
        times["hour whole as Arrow, again"] = [ask(start_ns + whole[-1] // 100, end_ns) for _ in whole]
    first, *others = offsets_ns
    times[f"{session} in 1000 points, first of a round"] = [ask(start_ns + first, end_ns, max_points=1000)]
    times[f"{session} in 1000 points, new start"] = [ask(start_ns + o, end_ns, max_points=1000) for o in others]
    times[f"{session} in 1000 points, again"] = [ask(start_ns + first, end_ns, max_points=1000) for _ in offsets_ns]
    times[f"a minute of the {session}"] = [ask(start_ns + o, start_ns + o + _MINUTE_NS) for o in minutes_ns]
    times[f"a minute of the {session}, 2 channels"] = [
        ask(start_ns + o, start_ns + o + _MINUTE_NS, channels=",".join(CHANNELS[:2])) for o in minutes_ns
    ]
    return times


def bare_queries(mongo_url: str, database: str, start_ns: int) -> Times:
    """Milliseconds of the same questions to a collection of one document a sample."""
    source = Columnar(_STREAM, start_ns)
    times: Times = {}
    with bare_collection(mongo_url, database) as collection:
        for first in range(0, _BATCHES, BATCH // 100):
            collection.insert_many(sample_documents(source, first, BATCH // 100), ordered=False)
        began_s = time.perf_counter()
        found = list(collection.find({"m.robot": "r"}, {"_id": 0}))
        times["bare: find the hour"] = [(time.perf_counter() - began_s) * 1000]
        if len(found) != 100 * _BATCHES:
            raise RuntimeError(f"{len(found)} documents came back")
        began_s = time.perf_counter()
        buckets = list(collection.aggregate([{"$match": {"m.robot": "r"}}, {"$group": _group()}], allowDiskUse=True))
        times["bare: $group the hour to 1000"] = [(time.perf_counter() - began_s) * 1000]
        if not 900 <= len(buckets) <= 1001:
            raise RuntimeError(f"{len(buckets)} buckets came back")
    return times


def _group() -> dict[str, Any]:
    """Least, most and mean of each channel in buckets of 3.6 s."""
    spans: dict[str, Any] = {"_id": {"$dateTrunc": {"date": "$t", "unit": "millisecond", "binSize": 3600}}}
    for number, name in enumerate(CHANNELS):
        value = {"$getField": {"field": name, "input": "$$ROOT"}}  # a dot in a name is no path here
        spans |= {f"min{number}": {"$min": value}, f"max{number}": {"$max": value}, f"mean{number}": {"$avg": value}}
    return spans


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(rounds=3, worker=True, options=_options))
