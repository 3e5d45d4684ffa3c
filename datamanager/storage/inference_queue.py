"""What waits for a model: Redis Streams by urgency, one consumer group. A to-do list and never the truth.

`infer:{emergency|high|normal}` hold what waits and what runs, `infer:later` (a sorted set by due millisecond) what could
not be tried, `infer:queued:{enrichment}:{frame_id}` that a frame was queued again, `infer:shed` (a hash) how many were shed
lately, by enrichment. Redis may be wiped at any moment: what
must be done is found again in MongoDB, the rest is gone like any frame that was not looked at.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.inference_entries import ids_by_stream, job_of
from datamanager.storage.inference_job import (
    URGENCIES,
    Added,
    InferenceJob,
    PreviousFrame,
    QueueState,
    ShedBy,
    ShedCounter,
    TakenInference,
    Urgency,
)
from datamanager.storage.inference_scripts import ADD, DEPTH
from datamanager.storage.redis import Redis, redis_translated
from datamanager.storage.work_streams import Entry, Later, WorkStreams

__all__ = [
    "URGENCIES",
    "Added",
    "InferenceJob",
    "InferenceQueue",
    "PreviousFrame",
    "QueueState",
    "ShedBy",
    "ShedCounter",
    "TakenInference",
    "Urgency",
    "open_inference_queue",
]

_GROUP = "models"
_SHED = "infer:shed"
_SHED_TTL_S = 3600  # a rule that sheds nothing for so long is forgotten with the others
_BELL = "infer:added"  # a channel: nothing of it is kept
_AGAIN_TTL_S = 60  # a frame is queued again at most so often
_POLL_S = 0.02  # where nobody listens for the bell
_LISTEN_S = 0.5  # and where somebody does, for a bell that was not heard
_ADD_AT_ONCE = 500  # jobs of one script: Redis does nothing else meanwhile

_log = get_logger(__name__)

_ENCODER = msgspec.msgpack.Encoder()
_LATER_DECODER = msgspec.msgpack.Decoder(tuple[int, InferenceJob])


class InferenceQueue:
    """The queue as one process sees it. Every method raises `RedisUnavailable` when Redis does not answer.

    Args:
        redis: where the queue is.
        clock: tells how long a job waits, and when one that was put off is due.
        sheds: counts what is given up.
        consumer: a name no other living process uses; those that only add need none.
        max_waiting: most jobs that wait in one stream. What must be done counts, and is never given up for it.

    Attributes:
        is_listening: whether `listen` runs and Redis has heard of it.
    """

    def __init__(
        self, redis: Redis, clock: Clock, sheds: ShedCounter, *, consumer: str = "", max_waiting: int = 10_000
    ) -> None:
        self._client = redis.client
        self._clock = clock
        self._sheds = sheds
        self._streams = WorkStreams(redis, prefix="infer", group=_GROUP, consumer=consumer)
        self._later = Later(redis, clock, "infer:later")
        self._max_waiting = max_waiting
        self._add_script = self._client.register_script(ADD)
        self._depth_script = self._client.register_script(DEPTH)
        self._rung = asyncio.Event()
        self.is_listening = False

    async def add(self, jobs: Sequence[InferenceJob]) -> Added:
        """Adds jobs. For want of room the oldest that may be shed are given up first, and counted."""
        return await self._add([(0, job) for job in jobs])

    async def add_again(self, jobs: Sequence[InferenceJob]) -> Added:
        """Adds jobs that got lost, but for those that were added by this in the last minute."""
        if not jobs:
            return Added()
        with redis_translated():
            async with self._client.pipeline(transaction=False) as marks:
                for job in jobs:
                    marks.set(f"infer:queued:{job.enrichment}:{job.frame_id}", b"1", nx=True, ex=_AGAIN_TTL_S)
                fresh = [job for job, is_new in zip(jobs, await marks.execute(), strict=True) if is_new]
        return await self.add(fresh)

    async def take(
        self, count: int, block_s: float = 1.0, urgencies: Sequence[Urgency] = URGENCIES
    ) -> list[TakenInference]:
        """Takes up to `count` jobs, the most urgent first, and of these the oldest.

        Where there are none it waits up to `block_s`; a job that is added meanwhile, however urgent, is given at once.
        Cancelling may lose what was just given: it is claimed later.
        """
        end_s = self._clock.monotonic_s() + block_s
        while True:
            self._rung.clear()  # before looking: what is added from here on rings again
            taken: list[TakenInference] = []
            for urgency in urgencies:
                if len(taken) < count:
                    taken += await self._read(urgency, count - len(taken))
            left_s = end_s - self._clock.monotonic_s()
            if taken or left_s <= 0:
                return taken
            await self._wait(min(left_s, _LISTEN_S if self.is_listening else _POLL_S))

    async def done(self, taken: Sequence[TakenInference]) -> None:
        """Removes finished jobs."""
        if taken:
            await self._streams.finish(ids_by_stream(taken))

    async def shed(self, taken: Sequence[TakenInference], by: ShedBy) -> None:
        """Gives up jobs that this consumer holds, and counts them.

        Raises:
            ValueError: one of them must be done.
        """
        if any(t.job.must for t in taken):
            raise ValueError("what must be done is not shed")
        await self.done(taken)
        await self._count_shed([t.job for t in taken], by)

    async def put_off(
        self, taken: Sequence[TakenInference], delay_s: float, *, apart_s: float = 0.0, tried: bool = False
    ) -> None:
        """Hands back jobs, to be taken again after `delay_s` (once `promote` finds them due).

        Args:
            taken: the jobs.
            delay_s: seconds, of the first.
            apart_s: how much later each is due than the one before it.
            tried: whether this counts as a try that came to nothing; not so when a server was away.
        """
        if not taken:
            return
        fits = taken[: max(0, self._max_waiting - await self.later())]
        await self._later.put(
            (_ENCODER.encode((t.tries + tried, t.job)), delay_s + n * apart_s) for n, t in enumerate(fits)
        )
        await self.done(taken)
        self._sheds.count([t.job for t in taken[len(fits) :] if not t.job.must], "full")

    async def promote(self, limit: int = 1000) -> int:
        """Puts jobs that were put off and are due back into their streams.

        Returns:
            How many.
        """
        return await self._later.move(lambda due: self._add([_LATER_DECODER.decode(data) for data in due]), limit)

    async def renew(self, taken: Sequence[TakenInference]) -> None:
        """Says that these are still being worked on, so that nobody claims them."""
        await self._streams.renew(ids_by_stream(taken))

    async def claim_stuck(self, idle_s: float, limit: int = 100) -> list[TakenInference]:
        """Takes over jobs that were taken and not handed back or renewed for `idle_s`: their worker is gone.

        Their `tries` say how many consumers had them and did not finish: one that keeps killing workers is to be given up.
        """
        found: list[TakenInference] = []
        for urgency in URGENCIES:
            claimed = await self._streams.claim(urgency, idle_s, limit)
            tries = {entry[0]: had for entry, had in claimed}
            found += await self._decode(urgency, [entry for entry, _ in claimed], tries)
        return found

    async def depth(self) -> dict[Urgency, QueueState]:
        """What waits and what runs, by urgency."""
        states: dict[Urgency, QueueState] = {}
        now_ms = self._clock.now_ns() // 1_000_000
        for urgency in URGENCIES:
            with redis_translated():
                waiting, running, at_ms = await self._depth_script(keys=[self._streams.key(urgency)], args=[_GROUP])
            oldest_s = max(0, now_ms - int(at_ms)) / 1000 if int(at_ms) else 0.0
            states[urgency] = QueueState(max(0, int(waiting)), int(running), oldest_s)
        return states

    async def shed_lately(self) -> dict[str, int]:
        """How many were shed by age or for want of room, by enrichment: a count that grows, and begins anew at times."""
        with redis_translated():
            found: Any = await self._client.hgetall(_SHED)
        return {name.decode(): int(count) for name, count in found.items()}

    async def later(self) -> int:
        """How many jobs are put off."""
        return await self._later.count()

    async def drop_gone_consumers(self, idle_s: float) -> None:
        """Forgets consumers that hold nothing and were not heard of for `idle_s`."""
        await self._streams.drop_gone_consumers(URGENCIES, idle_s)

    async def listen(self) -> None:
        """Hears of jobs that are added, until cancelled: while it runs `take` need not look again and again."""
        while True:
            try:
                with redis_translated():
                    async with self._client.pubsub() as pubsub:
                        await pubsub.subscribe(_BELL)
                        self.is_listening = True
                        while True:  # the first message says that the subscription stands
                            _heed_cancelling()
                            if await pubsub.get_message(timeout=_LISTEN_S) is not None:
                                self._rung.set()
            except RedisUnavailable:
                _heed_cancelling()
                await self._clock.sleep(0.5)
            finally:
                self.is_listening = False

    # Inside.

    async def _count_shed(self, jobs: Sequence[InferenceJob], by: ShedBy) -> None:
        if not jobs:
            return
        self._sheds.count(jobs, by)
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for enrichment, count in Counter(job.enrichment for job in jobs).items():
                    pipe.hincrby(_SHED, enrichment, count)
                pipe.expire(_SHED, _SHED_TTL_S)
                await pipe.execute()

    async def _wait(self, seconds: float) -> None:
        _heed_cancelling()
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return

    async def _add(self, jobs: Sequence[tuple[int, InferenceJob]]) -> Added:
        queued = shed = deferred = 0
        for urgency in URGENCIES:
            ours = [(tries, job) for tries, job in jobs if job.urgency == urgency]
            for at in range(0, len(ours), _ADD_AT_ONCE):
                added = await self._add_some(urgency, ours[at : at + _ADD_AT_ONCE])
                queued, shed, deferred = queued + added.queued, shed + added.shed, deferred + added.deferred
        if queued:
            with redis_translated():
                await self._client.publish(_BELL, b"")
        return Added(queued, shed, deferred)

    async def _add_some(self, urgency: Urgency, jobs: Sequence[tuple[int, InferenceJob]]) -> Added:
        args: list[Any] = [_GROUP, self._max_waiting, self._clock.now_ns() // 1_000_000]
        for tries, job in jobs:
            args += [int(job.must), tries, _ENCODER.encode(job)]
        with redis_translated():
            queued, deferred, gone = await self._add_script(keys=[self._streams.key(urgency)], args=args)
        await self._count_shed([job for job in map(job_of, gone) if job is not None], "full")
        return Added(int(queued), len(gone), int(deferred))

    async def _read(self, urgency: Urgency, count: int) -> list[TakenInference]:
        return await self._decode(urgency, await self._streams.read(urgency, count), {})

    async def _decode(
        self, urgency: Urgency, entries: Sequence[Entry], delivered: dict[bytes, int]
    ) -> list[TakenInference]:
        good: list[TakenInference] = []
        for entry_id, fields in entries:
            job = job_of((fields or {}).get(b"job", b""))
            if job is None:
                await self._streams.finish([(urgency, [entry_id])])
                continue
            tries = int((fields or {}).get(b"tries", b"0"))
            good.append(TakenInference(job, entry_id, urgency, tries + delivered.get(entry_id, 0)))
        return good


@asynccontextmanager
async def open_inference_queue(
    redis: Redis, clock: Clock, sheds: ShedCounter, *, consumer: str, max_waiting: int
) -> AsyncIterator[InferenceQueue]:
    """A queue for one that takes: it hears at once of what is added while the block runs."""
    queue = InferenceQueue(redis, clock, sheds, consumer=consumer, max_waiting=max_waiting)
    task = asyncio.create_task(queue.listen())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.wait({task})


def _heed_cancelling() -> None:
    """Ends a task that is to end: the driver may swallow a cancellation that comes while it connects."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
