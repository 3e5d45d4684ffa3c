from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import pytest
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.storage.inference_job import InferenceJob, ShedBy
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis

QueueOf = Callable[..., InferenceQueue]
JobOf = Callable[..., InferenceJob]


@dataclass
class Tally:
    """What was shed: frame_id and reason, in order."""

    shed: list[tuple[str, str]] = field(default_factory=list)

    def count(self, jobs: Iterable[InferenceJob], by: ShedBy) -> None:
        self.shed += [(job.frame_id, by) for job in jobs]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture(scope="session")
async def scheduling_mongo(new_config: Callable[[], Config]) -> AsyncIterator[Mongo]:
    """A database with its schema, which takes a second to make."""
    async with open_mongo(new_config().mongo) as mongo:
        await apply_migrations(mongo)
        yield mongo


@pytest.fixture
async def mongo(scheduling_mongo: Mongo) -> Mongo:
    """The same, empty."""
    for name in ("frames_metadata", "streams", "enrichments"):
        await scheduling_mongo.durable(name).delete_many({})
    return scheduling_mongo


@pytest.fixture
async def redis(config: Config) -> AsyncIterator[Redis]:
    async with open_redis(config.redis) as opened:
        yield opened


@pytest.fixture
def queue_of(redis: Redis, clock: ManualClock, tally: Tally) -> QueueOf:
    return lambda consumer, max_waiting=1000: InferenceQueue(
        redis, clock, tally, consumer=consumer, max_waiting=max_waiting
    )


@pytest.fixture
def queue(queue_of: QueueOf) -> InferenceQueue:
    return queue_of("me")


@pytest.fixture
def job(clock: ManualClock) -> JobOf:
    def make(name: str, **more: object) -> InferenceJob:
        fields = {
            "enrichment": "look",
            "model": "m",
            "robot_id": "r",
            "session_id": "s",
            "stream": "front",
            "key": f"raw/{name}",
            "t_ns": 1,
            "asked_ns": clock.now_ns(),
        }
        return InferenceJob(frame_id=name, **(fields | more))  # type: ignore[arg-type]  # what a test says it is

    return make
