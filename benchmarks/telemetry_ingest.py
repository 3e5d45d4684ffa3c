"""Telemetry: samples a second from a WebSocket to a durable ack, beside bare inserts of one document a sample."""

import time

from benchmarks.api import Api
from benchmarks.bare_mongo import bare_inserts
from benchmarks.flood import Flooded, flood
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from benchmarks.sources import Columnar, SeedJson

__all__ = ["measure"]

_SAMPLES = 100  # of a batch, in both encodings
_PACED_PER_S = 1000.0  # batches: 100,000 samples a second


async def measure(bench: Bench, result: Result) -> None:
    """Columnar batches, bare inserts and JSON batches in turn, each for `--seconds`, `--rounds` times."""
    seconds = bench.args.seconds
    columnar = Columnar("joints", time.time_ns())
    hello = {"robot_id": bench.robot_id, "session_id": "columnar", "producer": "bench"}
    json_first, columnar_sent = 0, 0
    seed = SeedJson(bench.robot_id, "json", time.time_ns())
    for turn in range(bench.args.rounds + 1):
        warm_up = turn == 0
        length_s = min(2.0, seconds) if warm_up else seconds
        into = Result("warm-up") if warm_up else result
        bench.cpu.start()
        found = await bench.elsewhere(
            flood, bench.url, "/api/v1/ingest", columnar, hello=hello, first=columnar_sent, seconds=length_s
        )
        columnar_sent = found.sent
        _add(into, "columnar", "samples/s", found, bench)
        bare = await bench.elsewhere(bare_inserts, bench.config.mongo.url, bench.robot_id, length_s)
        into.add("bare insert_many", "samples/s", bare)
        into.add("columnar / bare", "x", found.per_s * _SAMPLES / bare)
        bench.cpu.start()
        found = await bench.elsewhere(flood, bench.url, "/ws", seed, first=json_first, seconds=length_s)
        json_first = found.sent
        _add(into, "JSON", "messages/s", found, bench)
        found = await bench.elsewhere(
            flood,
            bench.url,
            "/api/v1/ingest",
            columnar,
            hello=hello,
            first=columnar_sent,
            seconds=length_s,
            per_s=_PACED_PER_S,
        )
        columnar_sent = found.sent
        into.add("ack p50 at 100,000 samples/s, from when due", "ms", found.ack_p50_ms)
        into.add("ack p99 at 100,000 samples/s, from when due", "ms", found.ack_p99_ms)
    _verify(bench, result, columnar_sent, json_first)
    result.goal("columnar, WebSocket to durable ack", 250_000, measure="columnar")
    result.goal("columnar against bare insert_many", 6, measure="columnar / bare")
    result.goal("the seed's JSON, WebSocket to durable ack", 60_000, measure="JSON")


def _add(into: Result, name: str, unit: str, found: Flooded, bench: Bench) -> None:
    shares = bench.cpu.shares()
    into.add(name, unit, found.per_s * _SAMPLES)
    into.add(f"{name}: ack p50 at full speed", "ms", found.ack_p50_ms)
    into.add(f"{name}: ack p99 at full speed", "ms", found.ack_p99_ms)
    into.add(f"{name}: sender", "cores", found.cores)
    for process in ("serve", "mongod", "others"):
        into.add(f"{name}: {process}", "cores", shares.get(process, 0.0))


def _verify(bench: Bench, result: Result, columnar: int, in_json: int) -> None:
    """Holds what was acked against what the server plays back.

    Raises:
        RuntimeError: they differ.
    """
    api = Api(bench.url)
    for session, stream, batches in (("columnar", "joints", columnar), ("json", "telemetry", in_json)):
        acked = batches * _SAMPLES
        played, told = api.counted(bench.robot_id, session, stream)
        if played != acked:
            raise RuntimeError(f"{session}: {acked} samples were acked, the server plays back {played}")
        result.notes.append(f"verified: {acked:,} samples acked and played back in session {session}")
        if told != acked:
            result.notes.append(f"WRONG: the statistics of session {session} tell of {told:,} samples")


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(seconds=5, rounds=3))
