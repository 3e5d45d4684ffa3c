"""The queue of jobs: Redis Streams by priority, one consumer group, delayed retries and dead letters.

Redis may be wiped at any moment, so this is a to-do list and never the truth: what a lost job was to do is found
again from MongoDB. A job runs at least once; what it does must be the same when done twice.

`jobs:{high|normal|low|slow|analysis}` hold what waits and what runs (`slow`: what takes seconds, and `analysis`: what looks at
streams again and again; both must be in nobody's way),
`jobs:later` (a sorted set by due millisecond) what failed and is tried again, `jobs:dead` (bounded) what was given up,
`jobs:queued:{priority}:{kind}:{key}` that such a job waits.
No command names two keys, so that each may live on another node of a cluster.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import msgspec

from datamanager.clock import Clock
from datamanager.storage.redis import Redis, ResponseError, redis_translated

__all__ = ["PRIORITIES", "DeadJob", "Job", "JobQueue", "Priority", "TakenJob", "backoff_s"]

Priority = Literal["high", "normal", "low", "slow", "analysis"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_GROUP = "workers"
_LATER = "jobs:later"
_DEAD = "jobs:dead"
_MAX_WAITING = 100_000  # per priority; what is trimmed is found again from MongoDB
_MAX_DEAD = 10_000
_QUEUED_TTL_S = 120  # outlives a wait in a healthy queue; ends the mark of a job that was trimmed or lost
_MAX_BACKOFF_S = 60.0
_MAX_ERROR_CHARS = 500

T = TypeVar("T")


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
        self._consumer = consumer
        self._max_tries = max_tries

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
        if not taken:
            return
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for priority in PRIORITIES:
                    ids = [t.entry_id for t in taken if t.stream == priority]
                    if ids:
                        pipe.xack(_stream(priority), _GROUP, *ids)
                        pipe.xdel(_stream(priority), *ids)
                await pipe.execute()

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
        for priority in PRIORITIES:
            ids = [t.entry_id for t in taken if t.stream == priority]
            if ids:
                await self._grouped(
                    priority,
                    lambda p=priority, i=ids: self._client.xclaim(  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
                        _stream(p), _GROUP, self._consumer, 0, i, justid=True
                    ),
                )

    async def claim_stuck(self, idle_s: float, limit: int = 100) -> list[TakenJob]:
        """Takes over jobs that were taken and not handed back or renewed for `idle_s`: their worker is gone."""
        found: list[TakenJob] = []
        for priority in PRIORITIES:
            answer = await self._grouped(
                priority,
                lambda p=priority: self._client.xautoclaim(  # type: ignore[misc]  # as above
                    _stream(p), _GROUP, self._consumer, int(idle_s * 1000), start_id="0-0", count=limit
                ),
            )
            found += await self._decode(priority, answer[1])
        return found

    async def promote(self, limit: int = 1000) -> int:
        """Puts delayed jobs that are due back into their streams.

        Returns:
            How many.
        """
        now_ms = self._clock.now_ns() // 1_000_000
        with redis_translated():
            due: Any = await self._client.zrangebyscore(_LATER, "-inf", now_ms, start=0, num=limit)
            if not due:
                return 0
            async with self._client.pipeline(transaction=False) as pipe:
                for data in due:
                    pipe.zrem(_LATER, data)
                # Of several sweepers the one that removed an entry adds it; dying between the two only loses the job.
                mine = [data for data, removed in zip(due, await pipe.execute(), strict=True) if removed]
            await self._add([_DECODER.decode(data) for data in mine])
        return len(mine)

    async def depth(self) -> dict[str, int]:
        """How many jobs there are: by priority (those being worked on included), `later` and `dead`."""
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for priority in PRIORITIES:
                    pipe.xlen(_stream(priority))
                pipe.zcard(_LATER)
                pipe.xlen(_DEAD)
                return dict(zip((*PRIORITIES, "later", "dead"), await pipe.execute(), strict=True))

    async def dead(self, limit: int = 100) -> list[DeadJob]:
        """The jobs given up last, newest first."""
        with redis_translated():
            entries: Any = await self._client.xrevrange(_DEAD, count=limit)
        return [_dead_job(fields) for _, fields in entries]

    async def drop_gone_consumers(self, idle_s: float) -> None:
        """Forgets consumers that hold nothing and were not heard of for `idle_s`."""
        for priority in PRIORITIES:
            consumers = await self._grouped(
                priority,
                lambda p=priority: self._client.xinfo_consumers(_stream(p), _GROUP),  # type: ignore[misc]  # as above
            )
            for consumer in consumers:
                if not consumer["pending"] and consumer["idle"] > idle_s * 1000:
                    with redis_translated():
                        await self._client.xgroup_delconsumer(_stream(priority), _GROUP, consumer["name"])

    async def _read(self, priority: Priority, count: int, block_ms: int | None) -> list[TakenJob]:
        answer: Any = await self._grouped(
            priority,
            lambda: self._client.xreadgroup(
                _GROUP, self._consumer, {_stream(priority): ">"}, count=count, block=block_ms
            ),
        )
        return await self._decode(priority, _entries(answer))

    async def _decode(self, priority: Priority, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[TakenJob]:
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
        async with self._client.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.xadd(_stream(job.priority), {b"job": _ENCODER.encode(job)}, maxlen=_MAX_WAITING, approximate=True)
            await pipe.execute()

    async def _delay(self, handed_back: Sequence[tuple[TakenJob, Job, float]]) -> None:
        if not handed_back:
            return
        now_ms = self._clock.now_ns() // 1_000_000
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for _, job, delay_s in handed_back:
                    pipe.zadd(_LATER, {_ENCODER.encode(job): now_ms + int(delay_s * 1000)})
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

    async def _grouped(self, priority: Priority, command: Callable[[], Awaitable[T]]) -> T:
        """Runs a command of the consumer group, which is made again when Redis has been wiped."""
        with redis_translated():
            try:
                return await command()
            except ResponseError as exc:
                if "NOGROUP" not in str(exc) and "no such key" not in str(exc):
                    raise
            await self._make_group(priority)
            return await command()

    async def _make_group(self, priority: Priority) -> None:
        try:
            # From the first entry on: jobs may have been added since the wipe.
            await self._client.xgroup_create(_stream(priority), _GROUP, id="0", mkstream=True)
        except ResponseError as exc:
            if "BUSYGROUP" not in str(exc):
                raise


def _stream(priority: Priority) -> str:
    return f"jobs:{priority}"


def _queued_key(job: Job) -> str:
    return f"jobs:queued:{job.priority}:{job.kind}:{job.key}"


def _entries(answer: Any) -> Sequence[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of the one stream that was read: RESP2 answers with a list of pairs, RESP3 with a dict."""
    if not answer:
        return ()
    entries: Sequence[tuple[bytes, dict[bytes, bytes]]] = (
        next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    )
    return entries


def _dead_job(fields: dict[bytes, bytes]) -> DeadJob:
    try:
        job = _DECODER.decode(fields[b"job"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        job = None
    return DeadJob(job, fields[b"error"].decode(errors="replace"), int(fields[b"at_ns"]))
