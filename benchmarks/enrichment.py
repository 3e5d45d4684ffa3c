"""Enrichment: what it adds to an ack, and how long a frame takes to its stored result.

One camera of 30 frames a second, 100 kB each, with no model, with the quality model, and with models that fail, hang or
want too much memory, in turn. Then more frames than the model can look at: what is shed, and what must not be.

Three of a round's 300 acks are its 99th percentile, and one stall of the disk is longer than all else. So each round is
held against the one without a model in the same turn, and the median of these ratios counts; beside it stands the ratio of
all rounds' acks together, which a single slow round decides. The disk is watched by itself meanwhile. Whatever computes
beside a server takes caches and processors from it: how much that is, a turn shows in which the quality model looks at as
many pictures in a process that no server knows of.
"""

import asyncio
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import msgspec
import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.bad_models import bad_model
from benchmarks.disk import DiskWatch, watch_disk
from benchmarks.frames import jpeg_of
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from datamanager.clock import SystemClock
from datamanager.config import InferenceConfig
from datamanager.inference.host import FramePicture
from datamanager.inference.manifest import Manifest
from datamanager.inference.zoo import zoo_model
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.model_documents import NewModel
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.results import NEWS_CHANNEL
from datamanager.storage.s3 import open_s3
from datamanager.worker.enrich.hosts import ModelFile, ModelHost

__all__ = ["measure", "send_frames"]

_FPS = 30.0
_SIZE_BYTES = 100_000
_SETTLE_S = 1.0  # what is sent before is not counted
_BAD = ("failing", "hanging", "out_of_memory")
_COMPUTING = "computing"
_MODES = ("off", "quality", _COMPUTING, *_BAD)
_PERCENTS = (50, 95, 99)
_LADDER = (45.0, 60.0, 80.0, 105.0, 140.0, 185.0)  # frames a second
_ALL = 0.99
Spans = list[tuple[int, int]]  # of acks: when each frame was due and when its ack came, Unix nanoseconds


@dataclass(slots=True)
class _Stores:
    """The stores behind the server, and how long each result took to be in them."""

    mongo: Mongo
    redis: Redis
    models: Models
    rules: Enrichments
    seen_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def watch(self) -> None:
        """Notes when results are there, from the time of their frames, until cancelled: they are sent at that time."""
        results, last_ns = self.mongo.durable("results"), time.time_ns()
        async with self.redis.client.pubsub() as pubsub:
            await pubsub.subscribe(NEWS_CHANNEL)
            async for _ in pubsub.listen():
                found = await results.find(
                    {"at_ns": {"$gt": last_ns}}, {"t_ns": 1, "at_ns": 1, "session_id": 1, "status": 1}
                ).to_list()
                now_ns = time.time_ns()
                for result in found:
                    last_ns = max(last_ns, int(result["at_ns"]))
                    if result["status"] == "ok":
                        self.seen_ms[result["session_id"]].append((now_ns - int(result["t_ns"])) / 1e6)

    async def shed(self, robot_id: str, session_id: str) -> int:
        """How many frames of a session were shed, as its streams say."""
        total = 0
        async for stream in self.mongo.durable("streams").find({"robot_id": robot_id, "session_id": session_id}):
            total += sum(int(of.get("shed", 0)) for of in stream.get("enrichment", {}).values())
        return total

    async def ready(self, name: str) -> None:
        """Returns once a worker has the model."""
        for _ in range(600):
            document = await self.models.document(name)
            if any(report["state"] == "ready" for report in document.get("loaded", [])):
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"no worker has the model {name}")


async def measure(bench: Bench, result: Result) -> None:
    """A camera with each model in turn, `--rounds` times; then twice as much as can be looked at."""
    async with _stores(bench) as stores:
        watching = asyncio.create_task(stores.watch())
        for name in ("quality", *_BAD):
            manifest, data = bad_model(name) if name in _BAD else (zoo_model(name).manifest, zoo_model(name).data())
            await stores.models.seed(_new(manifest, len(data)), data)
            await stores.rules.put(Enrichment(name=name, model=name, session_id=f"{name}-*", stream="cam"))
            await stores.ready(name)
        await bench.elsewhere(send_frames, bench.url, bench.robot_id, "off-warm", 2.0, _FPS)
        with watch_disk() as disk:
            async with _quality_by_itself() as host:
                acks_ms: dict[str, list[float]] = defaultdict(list)
                for turn in range(bench.args.rounds):
                    await _turn(bench, result, stores, disk, host, turn, acks_ms)
        for name in _MODES[1:]:
            for percent in _PERCENTS:
                took_ms, off_ms = (float(np.percentile(acks_ms[which], percent)) for which in (name, "off"))
                result.add(f"ack p{percent} of all rounds, {name} / off", "x", took_ms / off_ms)
        await _overload(bench, result, stores)
        watching.cancel()
    result.goal("frame to stored result, p95", 100, measure="quality: frame to stored result, p95", at_most=True)
    for name in ("quality", *_BAD):
        result.goal(f"ack p99 with {name} / without, p99", 1.05, measure=f"ack p99, {name} / off", at_most=True)


async def _turn(
    bench: Bench,
    result: Result,
    stores: _Stores,
    disk: DiskWatch,
    host: ModelHost,
    turn: int,
    acks_ms: dict[str, list[float]],
) -> None:
    """The camera in each mode, beginning with another one every time; adds what its acks took to `acks_ms`."""
    at = turn % len(_MODES)
    found = {name: await _round(bench, result, stores, disk, host, name, turn) for name in _MODES[at:] + _MODES[:at]}
    for name, took_ms in found.items():
        acks_ms[name] += took_ms
        for percent in _PERCENTS:
            value_ms, off_ms = (float(np.percentile(some, percent)) for some in (took_ms, found["off"]))
            result.add(f"ack p{percent}, {name}", "ms", value_ms)
            if name != "off":
                result.add(f"ack p{percent}, {name} / off", "x", value_ms / off_ms)


async def _round(
    bench: Bench, result: Result, stores: _Stores, disk: DiskWatch, host: ModelHost, name: str, turn: int
) -> list[float]:
    """The camera in one mode; what each of its acks took, milliseconds."""
    bench.cpu.start()
    session = f"{name}-{turn}"
    computing = asyncio.create_task(_compute(host)) if name == _COMPUTING else None
    spans = await bench.elsewhere(send_frames, bench.url, bench.robot_id, session, bench.args.seconds, _FPS)
    if computing is not None:
        computing.cancel()
        await asyncio.wait({computing})
    result.add(f"disk stalled, {name}", "ms", 1000 * disk.stalled_s(spans))
    await asyncio.sleep(1.0)
    _tell_stored(result, name, stores.seen_ms.get(session, []), bench)
    return [(acked_ns - due_ns) / 1e6 for due_ns, acked_ns in spans]


@asynccontextmanager
async def _quality_by_itself() -> AsyncIterator[ModelHost]:
    """The quality model in a process of its own, as a worker has it."""
    model = zoo_model("quality")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quality.onnx"
        path.write_bytes(model.data())
        async with ModelHost(ModelFile(model.manifest, path), InferenceConfig()) as host:
            await host.load()
            yield host


async def _compute(host: ModelHost) -> None:
    """Has it look at the camera's pictures, at the camera's pace, until cancelled."""
    pictures = _pictures()
    next_s = time.monotonic()
    for n in itertools.count():
        before = str(n - 1) if n else None  # which the process still has
        await host.infer([FramePicture(str(n), pictures[n % len(pictures)], previous_id=before)], {})
        next_s += 1 / _FPS
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))


@asynccontextmanager
async def _stores(bench: Bench) -> AsyncIterator[_Stores]:
    config = bench.config
    async with open_mongo(config.mongo) as mongo, open_redis(config.redis) as redis, open_s3(config.s3) as s3:
        yield _Stores(mongo, redis, Models(mongo, s3, redis, SystemClock()), Enrichments(mongo, redis))


def _new(manifest: Manifest, size_bytes: int) -> NewModel:
    return NewModel(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        output=manifest.stream,
        about=manifest.about,
        manifest=msgspec.json.encode(manifest),
        checksum=manifest.checksum,
        size_bytes=size_bytes,
    )


def _tell_stored(result: Result, name: str, seen_ms: list[float], bench: Bench) -> None:
    shares = bench.cpu.shares()
    for process in ("serve", "worker", "mongod", "others"):
        result.add(f"{name}: {process}", "cores", shares.get(process, 0.0))
    if name != "quality":
        return
    expected = bench.args.seconds * _FPS
    result.add("quality: frames looked at", "%", 100 * len(seen_ms) / (expected + _SETTLE_S * _FPS))
    for percent in (50, 95, 99):
        result.add(f"quality: frame to stored result, p{percent}", "ms", float(np.percentile(seen_ms, percent)))


async def _overload(bench: Bench, result: Result, stores: _Stores) -> None:
    """Finds how many frames a second can be looked at, and offers twice as many."""
    await stores.rules.put(Enrichment(name="much", model="quality", session_id="much-*", stream="cam"))
    await stores.rules.put(Enrichment(name="must", model="quality", session_id="must-*", stream="cam", must=True))
    await asyncio.sleep(1.5)
    sustained = 0.0
    for fps in _LADDER:
        session = f"much-{fps:g}"
        sent = await bench.elsewhere(send_frames, bench.url, bench.robot_id, session, bench.args.seconds / 2, fps)
        await asyncio.sleep(1.5)
        if len(stores.seen_ms.get(session, [])) < _ALL * (len(sent) + _SETTLE_S * fps):
            break
        sustained = fps
    result.add("all are looked at, up to", "frames/s", sustained)
    fps, session = 2 * (sustained or _LADDER[0]), "much-twice"
    must = asyncio.create_task(_must(bench, session))
    sent = await bench.elsewhere(send_frames, bench.url, bench.robot_id, session, bench.args.seconds, fps)
    wanted = await must
    await asyncio.sleep(2.5)
    seen = stores.seen_ms.get(session, [])
    result.add("twice as many: looked at", "frames/s", len(seen) / (bench.args.seconds + _SETTLE_S))
    result.add("twice as many: frame to stored result, p95", "ms", float(np.percentile(seen, 95)))
    result.add("twice as many: shed, of those sent", "%", 100 * await stores.shed(bench.robot_id, session) / len(sent))
    done = await stores.mongo.durable("results").count_documents({"session_id": f"must-{session}", "status": "ok"})
    result.add("twice as many: of frames that must be looked at", "%", 100 * done / wanted)
    result.goal("of frames that must be looked at", 100, measure="twice as many: of frames that must be looked at")


async def _must(bench: Bench, session: str) -> int:
    """A second camera, of five frames a second, each of which must be looked at; how many."""
    loop = asyncio.get_running_loop()
    spans = await loop.run_in_executor(
        None, send_frames, bench.url, bench.robot_id, f"must-{session}", bench.args.seconds, 5.0
    )
    return len(spans) + round(_SETTLE_S * 5)


def send_frames(url: str, robot_id: str, session_id: str, seconds: float, fps: float) -> Spans:
    """Sends frames at a pace; when each counted one was due and when its ack came."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send_frames(url, robot_id, session_id, seconds, fps))


async def _send_frames(url: str, robot_id: str, session_id: str, seconds: float, fps: float) -> Spans:
    pictures = _pictures()
    async with connect(f"ws{url[4:]}/api/v1/ingest", compression=None, proxy=None, max_queue=None) as socket:
        hello = {"type": "hello", "robot_id": robot_id, "session_id": session_id, "producer": "bench"}
        await socket.send(msgpack.packb(hello))
        answer = msgpack.unpackb(await socket.recv(decode=False))
        if answer["type"] != "welcome":
            raise RuntimeError(f"the server does not take the camera: {answer}")
        count, settle = round((seconds + _SETTLE_S) * fps), round(_SETTLE_S * fps)
        begin_ns = time.time_ns() + 50_000_000
        due_ns = [begin_ns + int(n * 1e9 / fps) for n in range(count)]
        hearing = asyncio.create_task(_hear(socket, due_ns))
        for n, at_ns in enumerate(due_ns):
            await asyncio.sleep(max(0.0, (at_ns - time.time_ns()) / 1e9))
            payload = {"format": "jpeg", "data": pictures[n % len(pictures)]}
            message = {"data_type": "images", "stream": "cam", "seq": n, "t_ns": at_ns, "payload": payload}
            await socket.send(msgpack.packb(message))
        return (await hearing)[settle:]


def _pictures() -> list[bytes]:
    return [jpeg_of(_SIZE_BYTES, seed, 1280, 720) for seed in range(8)]


async def _hear(socket: ClientConnection, due_ns: list[int]) -> Spans:
    acked: Spans = []
    while len(acked) < len(due_ns):
        message = msgpack.unpackb(await socket.recv(decode=False))
        if message["type"] == "ack":
            now_ns = time.time_ns()
            acked += [(at_ns, now_ns) for at_ns in due_ns[len(acked) : message["acked"]["cam"] + 1]]
    return acked


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(seconds=10, rounds=3, worker=True))
