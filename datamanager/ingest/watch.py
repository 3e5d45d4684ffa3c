"""What happens besides an ack: live fan-out, and jobs for tiers and models. All of it may fail or lag without anybody waiting."""

import asyncio
import time
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.ingest.alerts import AlertWatch
from datamanager.ingest.analyse import AnalysePolicy
from datamanager.ingest.enrich import EnrichPolicy
from datamanager.ingest.newest import Newest
from datamanager.ingest.policy import ThumbnailPolicy
from datamanager.ingest.session import SessionState
from datamanager.ingest.wire import Message
from datamanager.kinds.names import parse_time_ns
from datamanager.kinds.time_series.columns import is_columnar
from datamanager.kinds.time_series.flatten import Flattener
from datamanager.observability import METRICS, get_logger
from datamanager.storage.blocks import Block
from datamanager.storage.derivations import derive_job
from datamanager.storage.jobs import Job, JobQueue
from datamanager.storage.keys import live_channel
from datamanager.storage.redis import Redis, redis_translated
from datamanager.storage.tiers import tiers_job

__all__ = ["LiveWatchers"]

_log = get_logger(__name__)
_QUEUE = 10_000
_GROUP = 500
_LOOK_S = 1.0
_INLINE_BYTES = 65_536
_ENCODER = msgspec.msgpack.Encoder()


class LiveWatchers:
    """Publishes what is watched, and asks for tiers ahead of time. Run `run` as a task.

    Nothing is published for a session that nobody watches: which are watched is asked of Redis once a second, and
    told at once by who begins to watch.
    """

    def __init__(
        self,
        redis: Redis,
        jobs: JobQueue,
        clock: Clock,
        policy: ThumbnailPolicy,
        flattener: Flattener,
        newest: Newest,
        enrich: EnrichPolicy,
        analyse: AnalysePolicy,
        alerts: AlertWatch,
    ) -> None:
        self._redis = redis
        self._jobs = jobs
        self._clock = clock
        self._policy = policy
        self._flattener = flattener
        self._newest = newest
        self._enrich = enrich
        self._analyse = analyse
        self._alerts = alerts
        self._watched: set[str] = set()
        self._everything = False
        self._live: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_QUEUE)
        self._wanted: asyncio.Queue[Job] = asyncio.Queue(_QUEUE)

    async def run(self) -> None:
        """Publishes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._publish))
            group.create_task(self._forever(self._look))
            group.create_task(self._forever(self._hear))
            group.create_task(self._forever(self._enqueue))
            group.create_task(self._newest.run())
            group.create_task(self._enrich.run())
            group.create_task(self._analyse.run())
            group.create_task(self._alerts.run())

    async def _forever(self, work: Any) -> None:
        while True:
            try:
                await work()
            except RedisUnavailable:
                await self._clock.sleep(0.5)  # what is live now is not live later: nothing is kept for then

    # What ingest tells.

    def watches(self, session: SessionState) -> bool:
        """Whether anybody wants this session's messages."""
        return self._everything or live_channel(session.robot_id, session.session_id) in self._watched

    def message(self, session: SessionState, stream: str, kind: str, message: Message) -> None:
        """Publishes a message; bytes that are too large are published once stored."""
        channel = live_channel(session.robot_id, session.session_id)
        payload = message.payload
        if kind == "time_series":
            payload = self._columnar(message)
        elif isinstance(payload.get("data"), bytes | str) and len(payload["data"]) > _INLINE_BYTES:
            return
        envelope = {
            "timestamp": time.time(),
            "robot_id": session.robot_id,
            "session_id": session.session_id,
            "data_type": kind,
            "stream": stream,
            "payload": payload,
        }
        t_ns = parse_time_ns(message.t_ns, message.timestamp)
        if t_ns is not None:
            envelope |= {"t_ns": t_ns, "timestamp": t_ns / 1e9}
        if message.seq is not None:
            envelope["seq"] = message.seq
        self._put(channel, stream, envelope)

    def _columnar(self, message: Message) -> dict[str, Any]:
        payload: dict[str, Any] = message.payload
        if is_columnar(payload):  # type: ignore[arg-type]  # its keys are strings here
            return payload
        names, leaves = self._flattener.flatten(payload)  # type: ignore[arg-type]  # as above
        channels = {name: [leaf] for name, leaf in zip(names, leaves, strict=True)}
        return {"t_ns": [parse_time_ns(message.t_ns, message.timestamp)], "channels": channels}

    def wants_tiers(self, session: SessionState, stream: str) -> bool:
        """Whether a frame that arrives now gets its tiers ahead of time."""
        return self._policy.allow(f"{session.id}/{stream}", self._clock.monotonic_s())

    def must_enrich(self, document: dict[str, Any]) -> list[str]:
        """The enrichments that must look at a frame or record that is about to be written."""
        return self._enrich.must(document)

    def stored(self, document: dict[str, Any]) -> None:
        """A record became durable: what is derived from it is asked for, when it gets that; large ones are published, by address."""
        self._enrich.stored(document)
        self._alerts.stored(document)
        derived = document.get("derived", {})
        if derived.get("state") == "pending":
            if document["kind"] == "images":
                _offer(self._wanted, tiers_job(document["_id"], ("preview", "thumbnail"), priority="normal"))
            # A chunk takes a moment, and somebody may be watching; a whole file takes seconds or minutes.
            is_chunk = document["metadata"].get("part") in ("chunk", "media")
            for job in derived.get("wants", ()):
                _offer(self._wanted, derive_job(job, document["_id"], priority="normal" if is_chunk else "slow"))
        channel = live_channel(document["robot_id"], document["session_id"])
        uploaded = document["producer"].startswith("~")  # no message of it came that could be shown
        if (uploaded or document["size_bytes"] > _INLINE_BYTES) and (channel in self._watched or self._everything):
            address = f"/api/v1/frames/{document['_id']}"
            names = ("original", "preview", "thumbnail") if document["kind"] == "images" else ()
            urls = {n: f"{address}/{n}" for n in names} or {"original": f"/api/v1/records/{document['_id']}/content"}
            envelope = {
                "timestamp": document["t_ns"] / 1e9,
                "t_ns": document["t_ns"],
                "robot_id": document["robot_id"],
                "session_id": document["session_id"],
                "data_type": document["kind"],
                "stream": document["stream"],
                "seq": document["seq"],
                "payload": {"record_id": document["_id"], "size_bytes": document["size_bytes"], "urls": urls},
            }
            self._put(channel, document["stream"], envelope)

    def block_stored(self, block: Block) -> None:
        """A block of samples became durable."""
        self._newest.stored(block)
        self._analyse.stored(block, self._ask)
        self._alerts.block_stored(block)

    def _ask(self, job: Job) -> None:
        _offer(self._wanted, job)

    def _put(self, channel: str, stream: str, envelope: dict[str, Any]) -> None:
        try:
            data = _ENCODER.encode([stream, _ENCODER.encode(envelope)])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # JSON has integers that msgpack lacks
            _log.info("a message cannot be shown live", stream=stream, error=str(error))
            return
        _offer(self._live, (channel, data))

    # What runs beside it.

    async def _publish(self) -> None:
        group = [await self._live.get()]
        while len(group) < _GROUP and not self._live.empty():
            group.append(self._live.get_nowait())
        with redis_translated():
            async with self._redis.client.pipeline(transaction=False) as pipeline:
                for channel, data in group:
                    pipeline.publish(channel, data)
                await pipeline.execute()

    async def _look(self) -> None:
        with redis_translated():
            channels = await self._redis.client.pubsub_channels("live:*")
            self._everything = bool(await self._redis.client.pubsub_numpat())
        self._watched = {str(c, "utf-8") if isinstance(c, bytes) else c for c in channels}
        await self._clock.sleep(_LOOK_S)

    async def _hear(self) -> None:
        with redis_translated():
            async with self._redis.client.pubsub() as pubsub:
                await pubsub.subscribe("live:watch")
                async for message in pubsub.listen():
                    data = message["data"]
                    if message["type"] == "message" and isinstance(data, bytes):
                        self._watched.add(f"live:{data.decode()}")

    async def _enqueue(self) -> None:
        group = [await self._wanted.get()]
        while len(group) < _GROUP and not self._wanted.empty():
            group.append(self._wanted.get_nowait())
        await self._jobs.enqueue(group)


def _offer(queue: asyncio.Queue[Any], item: object) -> None:
    """Queues an item; when the queue is full the oldest one goes."""
    if queue.full():
        queue.get_nowait()
        METRICS.live_dropped.inc()
    queue.put_nowait(item)
