"""The queue of jobs: Redis Streams by priority, one consumer group, delayed retries and dead letters.

Redis may be wiped at any moment, so this is a to-do list and never the truth: what a lost job was to do is found
again from MongoDB. A job runs at least once; what it does must be the same when done twice.

`jobs:{high|normal|low|slow|analysis}` hold what waits and what runs (`slow`: what takes seconds, and `analysis`: what looks at
streams again and again; both must be in nobody's way),
`jobs:later` (a sorted set by due millisecond) what failed and is tried again, `jobs:dead` (bounded) what was given up,
`jobs:queued:{priority}:{kind}:{key}` that such a job waits.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from datamanager.clock import Clock
from datamanager.storage.redis import Redis, redis_translated
from datamanager.storage.work_streams import Entry, Later, WorkStreams

__all__ = ["PRIORITIES", "DeadJob", "Job", "JobQueue", "Priority", "TakenJob", "backoff_s"]

Priority = Literal["high", "normal", "low", "slow", "analysis"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_DEAD = "jobs:dead"
_MAX_WAITING = 100_000  # per priority; what is trimmed is found again from MongoDB
_MAX_DEAD = 10_000
_QUEUED_TTL_S = 120  # outlives a wait in a healthy queue; ends the mark of a job that was trimmed or lost
_MAX_BACKOFF_S = 60.0
_MAX_ERROR_CHARS = 500


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do.

    Attributes:
        kind: which handler does it.
        key: what it is about, an id; of one kind, key and priority only one job waits at a time.
        args: what else the handler needs, as msgpack can carry it.
        priority: which of the streams it waits in.
        tries: how often it was tried and failed.
    """

    kind: str
    key: str
    args: dict[str, Any] = {}
    priority: Priority = "normal"
    tries: int = 0


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that this consumer holds, until it is handed back by `done`, `retry`, `put_off` or `bury`."""

    job: Job
    entry_id: bytes
    stream: Priority


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that was given up; `job` is None when its bytes could not be read."""

    job: Job | None
    error: str
    at_ns: int


_DECODER = msgspec.msgpack.Decoder(Job)
_ENCODER = msgspec.msgpack.Encoder()


def backoff_s(tries: int, jitter: float) -> float:
    """How long to wait before try number `tries` + 1: 1, 2, 4, ... 60 s, times 0.75 to 1.25 as `jitter` goes 0 to 1."""
    return min(2.0 ** min(tries - 1, 10), _MAX_BACKOFF_S) * (0.75 + jitter / 2)


class JobQueue:
    """The queue as one consumer sees it. Every method raises `RedisUnavailable` when Redis does not answer.

    Args:
        redis: where the queue is.
        clock: tells when a delayed job is due.
        consumer: a name no other living process uses; those that only enqueue need none.
        max_tries: a job that failed this often is given up.
    """

    def __init__(self, redis: Redis, clock: Clock, *, consumer: str = "", max_tries: int = 5) -> None:
        self._client = redis.client
        self._clock = clock
        self._max_tries = max_tries
        self._streams = WorkStreams(redis, prefix="jobs", group="workers", consumer=consumer)
        self._later = Later(redis, clock, "jobs:later")

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        """Adds jobs, but for those that wait already.

        Returns:
            How many were added.
        """
        if not jobs:
            return 0
        with redis_translated():
            async with self._client.pipeline(transaction=False) as marks:
                for job in jobs:
                    marks.set(_queued_key(job), b"1", nx=True, ex=_QUEUED_TTL_S)
                fresh = [job for job, is_new in zip(jobs, await marks.execute(), strict=True) if is_new]
        await self._add(fresh)
        return len(fresh)

    async def take(
        self, count: int, *, priorities: Sequence[Priority] = PRIORITIES, block_s: float = 1.0
    ) -> list[TakenJob]:
        """Takes up to `count` jobs, those of the first priority first.

        Where there are none it waits up to `block_s`, for jobs of the first priority only: one command that waited
        for all would name keys of several nodes. Cancelling may lose what was just given: it is claimed later.
        """
        taken: list[TakenJob] = []
        for priority in priorities:
            if len(taken) < count:
                taken += await self._read(priority, count - len(taken), None)
        if not taken and block_s > 0:
            taken = await self._read(priorities[0], count, max(1, int(block_s * 1000)))
        await self._unmark([t.job for t in taken])
        return taken

    async def done(self, taken: Sequence[TakenJob]) -> None:
        """Removes finished jobs."""
        if taken:
            await self._streams.finish(_ids_by_stream(taken))

    def is_last_try(self, taken: TakenJob) -> bool:
        """Whether a failure of this job now would be its last."""
        return taken.job.tries + 1 >= self._max_tries

    async def retry(self, taken: Sequence[TakenJob]) -> None:
        """Hands back jobs that failed: each is tried again after its `backoff_s`, and counted."""
        again = [(t, msgspec.structs.replace(t.job, tries=t.job.tries + 1)) for t in taken]
        await self._delay([(t, job, backoff_s(job.tries, random.random())) for t, job in again])  # noqa: S311  # spreads retries, guards nothing

    async def put_off(self, taken: Sequence[TakenJob], delay_s: float) -> None:
        """Hands back jobs that could not be tried, because a server is away: this is no failure and not counted."""
        await self._delay([(t, t.job, delay_s) for t in taken])

    async def bury(self, taken: TakenJob, error: str) -> None:
        """Gives a job up: it goes to the dead letters."""
        await self._bury(_ENCODER.encode(taken.job), error)
        # Whoever died between taking it and saying so left it marked as waiting: its like could not be queued for minutes.
        await self._unmark([taken.job])
        await self.done([taken])

    async def renew(self, taken: Sequence[TakenJob]) -> None:
        """Says that these are still being worked on, so that nobody claims them."""
        await self._streams.renew(_ids_by_stream(taken))

    async def claim_stuck(self, idle_s: float, limit: int = 100) -> list[TakenJob]:
        """Takes over jobs that were taken and not handed back or renewed for `idle_s`: their worker is gone."""
        found: list[TakenJob] = []
        for priority in PRIORITIES:
            claimed = await self._streams.claim(priority, idle_s, limit)
            found += await self._decode(priority, [entry for entry, _ in claimed])
        return found

    async def promote(self, limit: int = 1000) -> int:
        """Puts delayed jobs that are due back into their streams.

        Returns:
            How many.
        """
        return await self._later.move(lambda due: self._add([_DECODER.decode(data) for data in due]), limit)

    async def depth(self) -> dict[str, int]:
        """How many jobs there are: by priority (those being worked on included), `later` and `dead`."""
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for priority in PRIORITIES:
                    pipe.xlen(self._streams.key(priority))
                pipe.xlen(_DEAD)
                depths = dict(zip((*PRIORITIES, "dead"), await pipe.execute(), strict=True))
        return depths | {"later": await self._later.count()}

    async def dead(self, limit: int = 100) -> list[DeadJob]:
        """The jobs given up last, newest first."""
        with redis_translated():
            entries: Any = await self._client.xrevrange(_DEAD, count=limit)
        return [_dead_job(fields) for _, fields in entries]

    async def drop_gone_consumers(self, idle_s: float) -> None:
        """Forgets consumers that hold nothing and were not heard of for `idle_s`."""
        await self._streams.drop_gone_consumers(PRIORITIES, idle_s)

    async def _read(self, priority: Priority, count: int, block_ms: int | None) -> list[TakenJob]:
        return await self._decode(priority, await self._streams.read(priority, count, block_ms))

    async def _decode(self, priority: Priority, entries: Sequence[Entry]) -> list[TakenJob]:
        good = []
        for entry_id, fields in entries:
            data = (fields or {}).get(b"job", b"")
            try:
                good.append(TakenJob(_DECODER.decode(data), entry_id, priority))
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                await self._bury(data, f"no job can be read from it: {exc}")
                await self.done([TakenJob(Job(kind="", key=""), entry_id, priority)])
        return good

    async def _add(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for job in jobs:
                    key, fields = self._streams.key(job.priority), {b"job": _ENCODER.encode(job)}
                    pipe.xadd(key, fields, maxlen=_MAX_WAITING, approximate=True)  # type: ignore[arg-type]  # the driver's dict is invariant
                await pipe.execute()

    async def _delay(self, handed_back: Sequence[tuple[TakenJob, Job, float]]) -> None:
        if not handed_back:
            return
        await self._later.put((_ENCODER.encode(job), delay_s) for _, job, delay_s in handed_back)
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for _, job, _ in handed_back:
                    pipe.set(_queued_key(job), b"1", ex=_QUEUED_TTL_S)
                await pipe.execute()
        await self.done([taken for taken, _, _ in handed_back])

    async def _bury(self, data: bytes, error: str) -> None:
        fields = {b"job": data, b"error": error[:_MAX_ERROR_CHARS].encode(), b"at_ns": b"%d" % self._clock.now_ns()}
        with redis_translated():
            await self._client.xadd(_DEAD, fields, maxlen=_MAX_DEAD, approximate=True)  # type: ignore[arg-type]  # the driver's dict is invariant

    async def _unmark(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for job in jobs:
                    pipe.unlink(_queued_key(job))
                await pipe.execute()


def _ids_by_stream(taken: Sequence[TakenJob]) -> list[tuple[str, list[bytes]]]:
    return [(priority, [t.entry_id for t in taken if t.stream == priority]) for priority in PRIORITIES]


def _queued_key(job: Job) -> str:
    return f"jobs:queued:{job.priority}:{job.kind}:{job.key}"


def _dead_job(fields: dict[bytes, bytes]) -> DeadJob:
    try:
        job = _DECODER.decode(fields[b"job"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        job = None
    return DeadJob(job, fields[b"error"].decode(errors="replace"), int(fields[b"at_ns"]))
