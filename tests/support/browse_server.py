"""The playback routes on a live server, and a session's records written the way ingest writes them."""

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from litestar import Litestar

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.kinds.examiner import open_examiner
from datamanager.playback.aggregates import AggregateReader
from datamanager.playback.parts import playback_parts
from datamanager.playback.ranges import RangeReader
from datamanager.playback.routes import RequestTiming, playback_routers, problem_handlers
from datamanager.playback.samples_port import SampleAt
from datamanager.storage.jobs import JobQueue
from datamanager.storage.keys import original_key, record_id
from datamanager.storage.lod import Lod
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Document, Mongo, open_mongo
from datamanager.storage.records import RecordWrites
from datamanager.storage.redis import open_redis
from datamanager.storage.s3 import S3, open_s3
from datamanager.storage.sessions import Sessions, Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.storage.tier_requests import TierRequests
from datamanager.storage.tiers import FrameTiers
from datamanager.storage.url_secret import load_url_secret

__all__ = ["Recorder", "browse_server", "open_recorder"]


@dataclass
class KnownSamples:
    """Samples that a test knows: (robot_id, session_id, stream) to ascending (t_ns, values)."""

    known: dict[tuple[str, str, str], list[SampleAt]] = field(default_factory=dict)

    async def last_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> SampleAt | None:
        before = [s for s in self.known.get((robot_id, session_id, stream), []) if s.t_ns <= t_ns]
        return before[-1] if before else None

    async def counts(
        self, robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int
    ) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for (robot, session, stream), samples in self.known.items():
            if (robot, session) == (robot_id, session_id):
                counts = found.setdefault(stream, [0] * bins)
                for sample in samples:
                    if start_ns <= sample.t_ns < end_ns:
                        counts[(sample.t_ns - start_ns) * bins // (end_ns - start_ns)] += 1
        return found


@contextmanager
def browse_server(config: Config, samples: KnownSamples) -> Iterator[str]:
    """Serves the playback routes on a free port, in a thread with its own event loop.

    Yields:
        Its base URL.
    """
    app = Litestar(
        lifespan=[lambda app: _mounted(app, config, samples)],
        exception_handlers=problem_handlers(),
        middleware=[RequestTiming()],
    )
    settings = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="error",
        lifespan="on",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    give_up_s = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < give_up_s, "the server did not start in time"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@asynccontextmanager
async def _mounted(app: Litestar, config: Config, samples: KnownSamples) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        mongo = await stack.enter_async_context(open_mongo(config.mongo))
        s3 = await stack.enter_async_context(open_s3(config.s3))
        redis = await stack.enter_async_context(open_redis(config.redis))
        clock = SystemClock()
        await apply_migrations(mongo)
        requests = TierRequests(JobQueue(redis, clock), FrameTiers(mongo, clock), clock)
        parts = playback_parts(
            config,
            mongo=mongo,
            s3=s3,
            redis=redis,
            clock=clock,
            url_secret=await load_url_secret(mongo),
            examiner=await stack.enter_async_context(open_examiner(config)),
            samples=samples,
            ranges=RangeReader(Streams(mongo), Telemetry(mongo), Lod(mongo), config.playback),
            aggregates=AggregateReader(Streams(mongo), Telemetry(mongo), Lod(mongo), config.playback),
            tier_requests=requests,
        )
        for router in playback_routers(parts):
            app.register(router)
        live = asyncio.create_task(parts.live.run())
        yield
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)


@dataclass
class Recorder:
    """Writes sessions as ingest does, for tests that read them."""

    mongo: Mongo
    s3: S3

    async def session(self, robot_id: str, session_id: str, streams: dict[str, str], **fields: Any) -> None:
        """Makes a session with streams (name to kind), and sets fields of its document."""
        await Sessions(self.mongo).open(robot_id, session_id, time.time_ns())
        for stream, kind in streams.items():
            await Streams(self.mongo).ensure(robot_id, session_id, stream, kind, time.time_ns())
        if fields:
            await self.mongo.durable("sessions").update_one({"_id": f"{robot_id}/{session_id}"}, {"$set": fields})

    async def frames(
        self, robot_id: str, session_id: str, stream: str, times: Sequence[int], data: bytes | None = None, **more: Any
    ) -> list[str]:
        """Writes RGB frames at these times, their bytes too when `data` is given, and widens the session."""
        documents = [
            _frame(robot_id, session_id, stream, seq, t_ns, data or b"", more) for seq, t_ns in enumerate(times)
        ]
        if data is not None:
            await asyncio.gather(*(self.s3.put(d["keys"]["original"], data) for d in documents))
        await self._insert("frames_metadata", documents)
        return [d["_id"] for d in documents]

    async def records(
        self, robot_id: str, session_id: str, stream: str, contents: Sequence[tuple[int, bytes]], **more: Any
    ) -> list[str]:
        """Writes small records of kind `file`, as (t_ns, bytes), and widens the session."""
        documents = [
            _record(robot_id, session_id, stream, seq, t_ns, data, more) for seq, (t_ns, data) in enumerate(contents)
        ]
        await self._insert("records", documents)
        return [d["_id"] for d in documents]

    async def _insert(self, collection: Any, documents: list[Document]) -> None:
        await RecordWrites(self.mongo).insert(collection, documents)
        first, times = documents[0], [d["t_ns"] for d in documents]
        await Sessions(self.mongo).widen(
            [(f"{first['robot_id']}/{first['session_id']}", min(times), max(times), False)]
        )


def _common(robot_id: str, session_id: str, stream: str, seq: int, t_ns: int, data: bytes) -> Document:
    return {
        "_id": record_id(robot_id, session_id, stream, "default", seq),
        "robot_id": robot_id,
        "session_id": session_id,
        "stream": stream,
        "producer": "default",
        "seq": seq,
        "auto": False,
        "t_ns": t_ns,
        "size_bytes": len(data),
        "checksum": hashlib.sha256(data).hexdigest(),
        "arrived_ns": t_ns,
        "prev": seq - 1 if seq else None,
        "generation": 1,
    }


def _frame(
    robot_id: str, session_id: str, stream: str, seq: int, t_ns: int, data: bytes, more: dict[str, Any]
) -> Document:
    common = _common(robot_id, session_id, stream, seq, t_ns, data)
    key = original_key(robot_id, session_id, "frames", stream, t_ns, "default", seq, "rgb.jpg")
    return common | {
        "kind": "images",
        "frame_number": seq,
        "camera_id": stream,
        "role": "rgb",
        "format": "jpeg",
        "mime_type": "image/jpeg",
        "width": 640,
        "height": 480,
        "mode": "RGB",
        "metadata": {"n": seq},
        "keys": {"original": key},
        "thumbnail": False,
        "derived": {"state": "none", "since_ns": t_ns},
        **more,
    }


def _record(
    robot_id: str, session_id: str, stream: str, seq: int, t_ns: int, data: bytes, more: dict[str, Any]
) -> Document:
    common = _common(robot_id, session_id, stream, seq, t_ns, data)
    return common | {"kind": "file", "mime_type": "text/plain", "metadata": {}, "inline": data, **more}


@asynccontextmanager
async def open_recorder(config: Config) -> AsyncIterator[Recorder]:
    """A recorder in the caller's event loop."""
    async with open_mongo(config.mongo) as mongo, open_s3(config.s3) as s3:
        await apply_migrations(mongo)
        yield Recorder(mongo, s3)
