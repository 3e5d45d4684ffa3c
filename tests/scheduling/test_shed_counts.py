"""Shed frames are counted where it outlives Redis, and in metrics."""

import pytest
from prometheus_client import REGISTRY
from scheduling.conftest import JobOf
from support.manual_clock import ManualClock

from datamanager.config import MongoConfig
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.sessions import Streams
from datamanager.storage.shed_counts import ShedCounts


@pytest.fixture(autouse=True)
async def streams(mongo: Mongo) -> None:
    for stream in ("front", "left"):
        await Streams(mongo).ensure("r", "s", stream, "images", 1)


async def test_counts_add_up_by_stream_rule_and_reason(mongo: Mongo, clock: ManualClock, job: JobOf) -> None:
    one, other = ShedCounts(mongo, clock), ShedCounts(mongo, clock)
    one.count([job("a"), job("b"), job("c", stream="left")], "age")
    one.count([job("d", enrichment="by.two")], "rate")
    await one.write()
    await one.write()
    other.count([job("e")], "full")
    one.count([job("f")], "age")
    await other.write()
    await one.write()
    assert await one.of("r", "s") == {
        "front": {"look": {"age": 3, "full": 1}, "by.two": {"rate": 1}},
        "left": {"look": {"age": 1}},
    }
    document = await Streams(mongo).get("r", "s", "front")
    assert document is not None
    assert document["enrichment"] == {
        "look": {"shed": 4, "shed_by": {"age": 3, "full": 1}},
        "by%2Etwo": {"shed": 1, "shed_by": {"rate": 1}},
    }
    assert await one.of("r", "other") == {}


async def test_counting_leaves_the_streams_version_alone(mongo: Mongo, clock: ManualClock, job: JobOf) -> None:
    streams, counts = Streams(mongo), ShedCounts(mongo, clock)
    read = await streams.get("r", "s", "front")
    assert read is not None
    counts.count([job("a")], "age")
    await counts.write()
    assert await streams.replace(read, {"metadata": {"x": 1}})
    assert await counts.of("r", "s") == {"front": {"look": {"age": 1}}}


async def test_a_stream_that_is_gone_is_not_made_again(mongo: Mongo, clock: ManualClock, job: JobOf) -> None:
    counts = ShedCounts(mongo, clock)
    counts.count([job("a", stream="gone")], "age")
    await counts.write()
    assert await Streams(mongo).get("r", "s", "gone") is None


async def test_while_mongodb_is_away_counts_are_kept(mongo: Mongo, clock: ManualClock, job: JobOf) -> None:
    async with open_mongo(MongoConfig(url="mongodb://127.0.0.1:1", timeout_s=0.5)) as nowhere:
        counts = ShedCounts(nowhere, clock)
        counts.count([job("a")], "age")
        await counts.write()
    counts._streams = mongo.quick("streams")
    counts.count([job("b")], "age")
    await counts.write()
    assert await counts.of("r", "s") == {"front": {"look": {"age": 2}}}


def test_metrics_count_by_enrichment_and_reason(mongo: Mongo, clock: ManualClock, job: JobOf) -> None:
    def value() -> float:
        labels = {"enrichment": "counted", "reason": "lost"}
        return REGISTRY.get_sample_value("datamanager_shed_total", labels) or 0.0

    before = value()
    ShedCounts(mongo, clock).count([job(str(n), enrichment="counted") for n in range(3)], "lost")
    assert value() == before + 3
