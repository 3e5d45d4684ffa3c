"""Frames of 100 kB: WebSocket to durable ack, beside a bare loop of obstore PUTs into the same bucket."""

import asyncio
import itertools
import time

import obstore
from obstore.store import S3Store

from benchmarks.api import Api
from benchmarks.flood import Flooded, flood
from benchmarks.frames import Frames
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from datamanager.config import S3Config

__all__ = ["bare_puts", "measure"]

_SIZE_BYTES = 100_000


async def measure(bench: Bench, result: Result) -> None:
    """Frames through the server and bare PUTs in turn, each for `--seconds`, `--rounds` times."""
    frames = Frames("front_rgb", time.time_ns(), _SIZE_BYTES)
    hello = {"robot_id": bench.robot_id, "session_id": "frames", "producer": "bench"}
    at_once = bench.config.ingest.s3_concurrency
    sent = 0
    for turn in range(bench.args.rounds + 1):
        into, length_s = (result, bench.args.seconds) if turn else (Result("warm-up"), 1.0)
        prefix = f"{bench.robot_id}/bare/{turn}"
        bench.cpu.start()
        found = await bench.elsewhere(
            flood, bench.url, "/api/v1/ingest", frames, hello=hello, first=sent, seconds=length_s
        )
        sent = found.sent
        _add(into, found, bench)
        many = await bench.elsewhere(bare_puts, bench.config.s3, f"{prefix}/many", frames, length_s, at_once)
        one = await bench.elsewhere(bare_puts, bench.config.s3, f"{prefix}/one", frames, length_s, 1)
        into.add(f"bare PUTs, {at_once} at once", "frames/s", many)
        into.add("bare PUTs, one at a time", "frames/s", one)
        into.add(f"frames / bare PUTs, {at_once} at once", "x", found.per_s / many)
        into.add("frames / bare PUTs, one at a time", "x", found.per_s / one)
    _verify(bench, result, sent)
    result.goal("frames against bare PUTs", 0.85, measure=f"frames / bare PUTs, {at_once} at once")


def _add(into: Result, found: Flooded, bench: Bench) -> None:
    shares = bench.cpu.shares()
    into.add("frames", "frames/s", found.per_s)
    into.add("frames: ack p50 at full speed", "ms", found.ack_p50_ms)
    into.add("frames: ack p99 at full speed", "ms", found.ack_p99_ms)
    into.add("frames: sender", "cores", found.cores)
    for process in ("serve", "mongod", "weed", "others"):
        into.add(f"frames: {process}", "cores", shares.get(process, 0.0))


def _verify(bench: Bench, result: Result, sent: int) -> None:
    """Holds what was acked against what the server counts.

    Raises:
        RuntimeError: they differ.
    """
    counts = Api(bench.url).timeline_counts(bench.robot_id, "frames", "front_rgb")
    if counts != sent:
        raise RuntimeError(f"{sent} frames were acked, the server plays back {counts}")
    result.notes.append(f"verified: {sent:,} frames acked and in the session's timeline")


def bare_puts(config: S3Config, prefix: str, frames: Frames, seconds: float, at_once: int) -> float:
    """Objects a second of bare PUTs.

    Args:
        config: leads to the bucket.
        prefix: of the keys.
        frames: whose pictures are put.
        seconds: for how long.
        at_once: PUTs under way at the same time.
    """
    return asyncio.run(_bare_puts(config, prefix, frames.pictures, seconds, at_once))


async def _bare_puts(config: S3Config, prefix: str, pictures: list[bytes], seconds: float, at_once: int) -> float:
    store = S3Store(
        config.bucket,
        endpoint=config.endpoint,
        region=config.region,
        access_key_id=config.access_key,
        secret_access_key=config.secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    numbers = itertools.count()
    began_s = time.perf_counter()

    async def put() -> None:
        while time.perf_counter() - began_s < seconds:
            number = next(numbers)
            picture = pictures[number % len(pictures)]
            await obstore.put_async(
                store,
                f"{prefix}/{number:08d}.jpg",
                picture,
                attributes={"Content-Type": "image/jpeg"},
                use_multipart=False,
            )

    await asyncio.gather(*(put() for _ in range(at_once)))
    return next(numbers) / (time.perf_counter() - began_s)


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(seconds=4, rounds=3))
