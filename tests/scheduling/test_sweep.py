"""What got lost on its way to a model is found again: on real stores, with a clock that tests move."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from scheduling.conftest import JobOf, QueueOf, Tally
from support.manual_clock import ManualClock

from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.inference_job import TakenInference
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.unenriched import Unenriched
from datamanager.worker.enrich.sweep import EnrichSweep

LOOK = Enrichment(name="look", model="m", must=True, stream="front")
SECOND = 1_000_000_000
INTERVAL_S = 10.0


@dataclass
class Stage:
    """One sweeper, and what it took over or gave up."""

    mongo: Mongo
    redis: Redis
    queue: InferenceQueue
    clock: ManualClock
    sweep: EnrichSweep
    received: list[TakenInference]
    given_up: list[tuple[str, str]]

    async def rules(self, *rules: Enrichment) -> None:
        document = {"revision": 1, "rules": [msgspec.to_builtins(rule) for rule in rules]}
        await self.mongo.durable("enrichments").replace_one({"_id": "rules"}, document, upsert=True)

    async def frames(
        self, count: int, *, age_s: float = 60, pending: Sequence[str] = ("look",), prefix: str = "f"
    ) -> None:
        since_ns = self.clock.now_ns() - round(age_s * SECOND)
        documents: list[dict[str, Any]] = [
            {
                "_id": f"{prefix}{n:04d}",
                "robot_id": "r",
                "session_id": "s",
                "stream": "front",
                "kind": "images",
                "role": "rgb",
                "t_ns": 1000 + n,
                "keys": {"original": f"raw/{prefix}{n}"},
                "size_bytes": 100 + n,
                "enrich": {"pending": list(pending), "since_ns": since_ns + n},
            }
            for n in range(count)
        ]
        await self.mongo.durable("frames_metadata").insert_many(documents)

    async def frame(self, name: str) -> dict[str, Any]:
        found = await self.mongo.durable("frames_metadata").find_one({"_id": name})
        assert found is not None
        return found

    async def queued(self) -> list[TakenInference]:
        return await self.queue.take(10_000, 0)


@pytest.fixture
async def stage(mongo: Mongo, redis: Redis, queue_of: QueueOf, clock: ManualClock) -> Stage:
    queue = queue_of("me", 5000)
    received: list[TakenInference] = []
    given_up: list[tuple[str, str]] = []

    async def give_up(taken: TakenInference, why: str) -> None:
        given_up.append((taken.job.frame_id, why))
        await queue.done([taken])

    async def receive(taken: Sequence[TakenInference]) -> None:
        received.extend(taken)

    sweep = EnrichSweep(
        queue,
        Unenriched(mongo, clock),
        Enrichments(mongo, redis),
        receive,
        give_up,
        clock,
        interval_s=INTERVAL_S,
        job_timeout_s=0.2,
    )
    stage = Stage(mongo, redis, queue, clock, sweep, received, given_up)
    await stage.rules(LOOK)
    return stage


async def test_frames_that_must_be_looked_at_and_have_no_job_are_queued(stage: Stage) -> None:
    await stage.frames(3)
    assert await stage.sweep.sweep()
    taken = await stage.queued()
    assert [t.job.frame_id for t in taken] == ["f0000", "f0001", "f0002"]
    assert all(t.job.must and t.job.model == "m" and t.job.enrichment == "look" for t in taken)
    assert [t.job.asked_ns for t in taken] == [(await stage.frame(t.job.frame_id))["enrich"]["since_ns"] for t in taken]
    assert [t.job.size_bytes for t in taken] == [100, 101, 102]
    before = [t.job.previous and (t.job.previous.frame_id, t.job.previous.size_bytes) for t in taken]
    assert before == [None, ("f0000", 100), ("f0001", 101)]


@pytest.mark.parametrize(("age_s", "found"), [(9.9, 0), (10.0, 1), (10.1, 1)])
async def test_a_frame_counts_as_lost_after_an_interval(stage: Stage, age_s: float, found: int) -> None:
    await stage.frames(1, age_s=age_s)
    await stage.sweep.sweep()
    assert len(await stage.queued()) == found


async def test_what_was_queued_a_moment_ago_is_not_queued_again(stage: Stage) -> None:
    await stage.frames(3)
    await stage.sweep.sweep()
    await stage.sweep.sweep()
    assert len(await stage.queued()) == 3


@pytest.mark.parametrize(("waiting", "found"), [(999, 1), (1000, 0)])
async def test_with_much_to_do_nothing_is_looked_for(stage: Stage, job: JobOf, waiting: int, found: int) -> None:
    await stage.frames(1)
    await stage.queue.add([job(f"w{n}") for n in range(waiting)])
    await stage.sweep.sweep()
    assert len(await stage.queued()) == waiting + found


async def test_while_the_queue_is_older_than_an_interval_nothing_is_looked_for(stage: Stage, job: JobOf) -> None:
    await stage.queue.add([job("w")])
    stage.clock.advance(INTERVAL_S)
    await stage.frames(1)
    await stage.sweep.sweep()
    assert [t.job.frame_id for t in await stage.queued()] == ["w"]


async def test_while_many_are_put_off_nothing_is_looked_for(stage: Stage, job: JobOf) -> None:
    await stage.queue.add([job(f"w{n}") for n in range(1000)])
    await stage.queue.put_off(await stage.queued(), 100)
    await stage.frames(1)
    await stage.sweep.sweep()
    assert await stage.queued() == []


async def test_a_round_is_bounded_and_says_that_there_is_more(stage: Stage) -> None:
    await stage.frames(1200)
    assert not await stage.sweep.sweep()
    assert len(await stage.queued()) == 1000


async def test_each_rule_that_is_missing_is_asked_and_no_other(stage: Stage) -> None:
    other = msgspec.structs.replace(LOOK, name="other.one", model="n", urgency="emergency")
    await stage.rules(LOOK, other)
    await stage.frames(1, pending=("look", "other.one"))
    await stage.frames(1, pending=("other.one",), prefix="g")
    await stage.sweep.sweep()
    taken = {(t.job.frame_id, t.job.model, t.job.urgency) for t in await stage.queued()}
    assert taken == {("f0000", "m", "normal"), ("f0000", "n", "emergency"), ("g0000", "n", "emergency")}


async def test_a_rule_that_was_removed_is_taken_out_and_noted(stage: Stage) -> None:
    await stage.frames(1, pending=("gone", "look"))
    await stage.frames(1, pending=("gone",), prefix="g")
    await stage.frames(1, pending=("gone",), prefix="young", age_s=1)
    await stage.sweep.sweep()
    both, alone = await stage.frame("f0000"), await stage.frame("g0000")
    assert (both["enrich"]["pending"], both["enrich_gone"]) == (["look"], ["gone"])
    assert both["enrich"]["since_ns"] > 0
    assert ("enrich" in alone, alone["enrich_gone"]) == (False, ["gone"])
    assert (await stage.frame("young0000"))["enrich"]["pending"] == ["gone"]
    assert [t.job.frame_id for t in await stage.queued()] == ["f0000"]


async def test_a_rule_that_is_switched_off_keeps_what_it_owes(stage: Stage) -> None:
    await stage.rules(msgspec.structs.replace(LOOK, enabled=False))
    await stage.frames(1)
    await stage.sweep.sweep()
    assert await stage.queued() == []
    assert (await stage.frame("f0000"))["enrich"]["pending"] == ["look"]
    await stage.rules(LOOK)
    await stage.sweep.sweep()
    assert len(await stage.queued()) == 1


async def test_frames_with_nothing_due_are_not_in_the_index_that_is_looked_in(stage: Stage) -> None:
    await stage.frames(5)
    await stage.mongo.durable("frames_metadata").insert_many([{"_id": str(n), "kind": "images"} for n in range(200)])
    plan = await stage.mongo.database.command(
        "explain",
        {"find": "frames_metadata", "filter": {"enrich.since_ns": {"$gt": 0, "$lte": stage.clock.now_ns()}}},
        verbosity="executionStats",
    )
    assert plan["executionStats"]["totalDocsExamined"] == 5


async def test_frames_of_a_dead_worker_are_taken_over(
    stage: Stage, queue_of: QueueOf, job: JobOf, tally: Tally
) -> None:
    dead = queue_of("dead")
    await dead.add([job("a"), job("b", must=True)])
    await dead.take(2, 0)
    await stage.sweep.sweep()
    assert not stage.received  # it may still be at it
    await asyncio.sleep(0.25)  # Redis has a clock of its own
    await stage.sweep.sweep()
    assert [(t.job.frame_id, t.tries) for t in stage.received] == [("a", 1), ("b", 1)]
    assert not tally.shed


async def test_a_frame_that_ten_workers_died_with_is_given_up(stage: Stage, queue_of: QueueOf, job: JobOf) -> None:
    await stage.frames(1)
    await stage.queue.add([job("f0000", must=True)])
    taken = await queue_of("w0").take(1, 0)
    for n in range(1, 9):
        taken = await queue_of(f"w{n}").claim_stuck(0)
    assert taken[0].tries == 8
    await asyncio.sleep(0.25)  # Redis has a clock of its own
    await stage.sweep.sweep()
    assert [t.tries for t in stage.received] == [9]
    await asyncio.sleep(0.25)  # Redis has a clock of its own
    await stage.sweep.sweep()
    assert len(stage.received) == 1
    assert stage.given_up == [("f0000", "10 workers that were to look at it died")]
    assert sum(state.running for state in (await stage.queue.depth()).values()) == 0
