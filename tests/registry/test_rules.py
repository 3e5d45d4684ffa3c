"""Rules are checked before they are kept, and two of them never write one stream."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from datamanager.config import Config
from datamanager.errors import Conflict, DatamanagerError, NotFound, Refused
from datamanager.storage.enrichment_rule import MAX_FPS
from datamanager.storage.enrichments import MAX_RULES, Enrichment, Enrichments
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis

TASKS = {"eyes": "detect", "sharp": "quality", "odd": "anomaly", "any": "raw"}
OUTPUTS = {"detect": "detections", "quality": "quality", "anomaly": "anomaly", "raw": "raw"}


@pytest.fixture(autouse=True)
async def known_models(mongo: Mongo) -> None:
    """Models of which only what rules ask for is there."""
    await mongo.durable("models").insert_many(
        {
            "_id": name,
            "current": "1",
            "versions": [{"version": "1", "task": task, "output": OUTPUTS[task], "manifest": b"{}"}],
        }
        for name, task in TASKS.items()
    )
    await mongo.durable("models").insert_one({"_id": "coming", "current": None, "versions": []})


def rule(name: str = "a", **fields: Any) -> Enrichment:
    return Enrichment(**({"name": name, "model": "eyes"} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "a" * 64},
        {"stream": "front_*", "robot_id": "r[1-3]?", "session_id": "2026-*"},
        {"stream": "a/b/c"},
        {"stream": "*" * 256},
        {"max_fps": MAX_FPS},
        {"max_fps": 0.1},
        {"must": True, "urgency": "emergency"},
        {"options": {"confidence": 1, "iou": 0, "max_boxes": 10_000, "track": False}},
        {"options": {"classes": ["car", 3]}},
        {"options": {"x": "y" * 4088}, "model": "sharp"},
        {"model": "sharp", "role": "depth"},
        {"model": "any", "kind": "time_series"},
        {"model": "odd", "kind": "time_series"},
        {"model": "", "kind": "time_series", "options": {"scorer": "half_space_trees"}},
        {"enabled": False},
        {"output": "people"},
    ],
)
async def test_a_good_rule_is_kept_as_it_is(enrichments: Enrichments, fields: dict[str, Any]) -> None:
    await enrichments.put(rule(**fields))
    assert await enrichments.all() == [rule(**fields)]


@pytest.mark.parametrize(
    ("fields", "code", "names"),
    [
        ({"name": ""}, "bad_id", "name"),
        ({"name": "a" * 65}, "bad_id", "name"),
        ({"name": "a/b"}, "bad_id", "name"),
        ({"name": ".."}, "bad_id", "name"),
        ({"stream": ""}, "bad_payload", "stream"),
        ({"stream": "*" * 257}, "bad_payload", "stream"),
        ({"robot_id": "r\n"}, "bad_payload", "robot_id"),
        ({"session_id": "a b"}, "bad_payload", "session_id"),
        ({"max_fps": -0.001}, "bad_payload", "max_fps"),
        ({"max_fps": MAX_FPS + 0.001}, "bad_payload", "max_fps"),
        ({"max_fps": float("nan")}, "bad_payload", "max_fps"),
        ({"must": True, "max_fps": 1.0}, "bad_payload", "must"),
        ({"output": "a/b"}, "bad_id", "output"),
        ({"options": {"x": "y" * 4089}, "model": "sharp"}, "too_large", "options"),
        ({"options": {"x": 2**70}, "model": "sharp"}, "bad_payload", "options"),
        ({"options": {"confidence": 1.01}}, "bad_payload", "options.confidence"),
        ({"options": {"iou": -0.1}}, "bad_payload", "options.iou"),
        ({"options": {"iou": True}}, "bad_payload", "options.iou"),
        ({"options": {"max_boxes": 0}}, "bad_payload", "options.max_boxes"),
        ({"options": {"max_boxes": 10_001}}, "bad_payload", "options.max_boxes"),
        ({"options": {"track": 1}}, "bad_payload", "options.track"),
        ({"options": {"classes": "car"}}, "bad_payload", "options.classes"),
        ({"options": {"treshold": 0.5}}, "bad_payload", "options.treshold"),
        ({"model": ""}, "missing_field", "model"),
        ({"model": "nobody"}, "bad_payload", "'nobody' is not there"),
        ({"model": "coming"}, "bad_payload", "no version in use"),
        ({"model": "odd"}, "bad_payload", "kind time_series"),
        ({"kind": "time_series"}, "bad_payload", "kind images"),
    ],
)
async def test_a_bad_rule_is_refused_by_the_name_of_its_field(
    enrichments: Enrichments, fields: dict[str, Any], code: str, names: str
) -> None:
    with pytest.raises(Refused) as refused:
        await enrichments.put(rule(**fields))
    assert refused.value.code == code
    assert names in refused.value.detail
    assert await enrichments.all() == []


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ({}, {}, True),
        ({"stream": "front"}, {"stream": "front"}, True),
        ({"stream": "front"}, {"stream": "fr*"}, True),
        ({"stream": "fr*"}, {"stream": "*"}, True),
        ({"stream": "fr*"}, {"stream": "fr*"}, True),
        ({"output": "quality"}, {"model": "sharp"}, True),
        ({"robot_id": "r1"}, {"robot_id": "*"}, True),
        ({"stream": "front"}, {"stream": "rear"}, False),
        ({"stream": "front*"}, {"stream": "*left"}, False),  # they may meet: nobody knows yet
        ({"robot_id": "r1"}, {"robot_id": "r2"}, False),
        ({"session_id": "a"}, {"session_id": "b*"}, False),
        ({"output": "people"}, {}, False),
        ({}, {"model": "sharp"}, False),
        ({}, {"enabled": False}, False),
        ({"enabled": False}, {}, False),
        ({}, {"role": "depth"}, False),
        ({"model": "any"}, {"model": "any", "kind": "time_series"}, False),
        ({"model": "", "kind": "time_series"}, {"model": "", "kind": "time_series"}, False),
    ],
)
async def test_two_rules_do_not_write_one_stream(
    enrichments: Enrichments, one: dict[str, Any], other: dict[str, Any], collide: bool
) -> None:
    await enrichments.put(rule("one", **one))
    if collide:
        with pytest.raises(Conflict, match="'one'"):
            await enrichments.put(rule("other", **other))
    else:
        await enrichments.put(rule("other", **other))
    assert len(await enrichments.all()) == (1 if collide else 2)


async def test_a_rule_takes_the_place_of_its_name_and_goes(enrichments: Enrichments) -> None:
    await enrichments.put(rule("b"))
    await enrichments.put(rule("b", stream="front"))
    await enrichments.put(rule("a", stream="rear"))
    assert [r.name for r in await enrichments.all()] == ["a", "b"]
    assert (await enrichments.get("b")).stream == "front"
    assert await enrichments.naming("eyes") == ["a", "b"]
    await enrichments.delete("b")
    for act in (enrichments.get, enrichments.delete):
        with pytest.raises(NotFound):
            await act("b")


async def test_there_are_only_so_many(enrichments: Enrichments, mongo: Mongo) -> None:
    many = [{"name": f"r{n:03d}", "model": "eyes", "stream": f"s{n}"} for n in range(MAX_RULES - 1)]
    await mongo.durable("enrichments").insert_one({"_id": "rules", "revision": 1, "rules": many})
    await enrichments.put(rule("last", stream="x"))
    await enrichments.put(rule("last", stream="y"))
    with pytest.raises(Refused) as refused:
        await enrichments.put(rule("more", stream="z"))
    assert refused.value.code == "over_quota"
    assert len(await enrichments.all()) == MAX_RULES


async def test_of_many_that_collide_at_the_same_time_one_is_kept(enrichments: Enrichments) -> None:
    puts = [enrichments.put(rule(f"r{n}")) for n in range(8)]
    done = await asyncio.gather(*puts, return_exceptions=True)
    assert sorted(type(d).__name__ for d in done) == ["Conflict"] * 7 + ["NoneType"]
    assert len(await enrichments.all()) == 1


async def test_what_is_put_at_the_same_time_is_all_kept(enrichments: Enrichments) -> None:
    await asyncio.gather(*(enrichments.put(rule(f"r{n}", stream=f"s{n}")) for n in range(8)))
    assert len(await enrichments.all()) == 8


async def test_a_change_is_seen_by_its_revision(enrichments: Enrichments) -> None:
    first = await enrichments.newer(None)
    assert first == (0, [])
    assert await enrichments.newer(0) is None
    await enrichments.put(rule())
    newer = await enrichments.newer(0)
    assert newer is not None
    revision, rules = newer
    assert rules == [rule()]
    assert await enrichments.newer(revision) is None
    await enrichments.put(rule())  # as it was
    assert await enrichments.newer(revision) is None
    await enrichments.delete("a")
    again = await enrichments.newer(revision)
    assert again is not None
    assert again[1] == []


async def test_others_are_told_of_a_change(registry_config: Config, enrichments: Enrichments, mongo: Mongo) -> None:
    async with open_redis(registry_config.redis) as other:
        listener = Enrichments(mongo, other)
        await listener.notices.wait(0.2)
        waiting = asyncio.create_task(listener.notices.wait(10))
        await asyncio.sleep(0)
        await enrichments.put(rule())
        assert await asyncio.wait_for(waiting, 2)
        assert not await listener.notices.wait(0.05)
        await listener.notices.close()


async def test_without_redis_rules_are_kept_all_the_same(registry_config: Config, mongo: Mongo) -> None:

    async with open_redis(replace(registry_config.redis, url="redis://127.0.0.1:1/0")) as nobody:
        lonely = Enrichments(mongo, nobody)
        await lonely.put(rule())
        assert await lonely.all() == [rule()]
        assert not await lonely.notices.wait(0.05)


async def test_without_mongodb_nothing_is_said_to_be_kept(registry_config: Config, redis: Redis) -> None:

    async with open_mongo(replace(registry_config.mongo, url="mongodb://127.0.0.1:1", timeout_s=0.5)) as nobody:
        with pytest.raises(DatamanagerError) as failed:
            await Enrichments(nobody, redis).put(rule())
        assert failed.value.http_status == 503
