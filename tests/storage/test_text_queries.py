"""Queries on parameters, logs and tables whose rows are fed use an index, and look at nothing else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.storage.log_queries import LogQueries
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.parameter_queries import ParameterQueries
from datamanager.storage.series import SeriesStore

PLACE = ("r", "s")


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    """A database with 400 records of parameters, of which one replaces all, as many logs, and three tables."""
    async with open_mongo(config.mongo) as found:
        await apply_migrations(found)
        common = {"robot_id": "r", "session_id": "s", "producer": "p", "auto": False, "size_bytes": 1, "inline": b"x"}
        documents: list[dict[str, Any]] = []
        for i in range(400):
            mode = "replace" if i == 200 else "merge"
            documents.append(
                {"_id": f"p{i}", "stream": "config", "t_ns": i, "seq": i, "parameters": {"mode": mode}} | common
            )
            documents.append({"_id": f"l{i}", "stream": "log", "t_ns": i, "seq": i} | common)
        for i in range(3):
            state = "pending" if i else "done"
            documents.append(
                {"_id": f"t{i}", "stream": "csv", "t_ns": i, "seq": i, "series": {"state": state, "due_ns": 0}} | common
            )
        await found.durable("records").insert_many(documents)
        yield found


async def profiled(mongo: Mongo) -> dict[str, Any]:
    """The last query on `records`, as MongoDB's profiler saw it."""
    database = mongo.durable("records").database
    [entry] = await database["system.profile"].find({"ns": {"$regex": "records$"}}).sort("ts", -1).limit(1).to_list()
    return dict(entry)


async def test_the_last_replacement_is_found_by_its_own_index(mongo: Mongo) -> None:
    await mongo.durable("records").database.command("profile", 2)
    assert await ParameterQueries(mongo).replaced_at(*PLACE, "config", 399) == 200
    seen = await profiled(mongo)
    assert (seen["docsExamined"], seen["keysExamined"], seen.get("hasSortStage")) == (1, 1, None)
    assert await ParameterQueries(mongo).replaced_at(*PLACE, "config", 199) == 0


async def test_parameters_since_then_are_read_in_order_and_nothing_else_is_looked_at(mongo: Mongo) -> None:
    await mongo.durable("records").database.command("profile", 2)
    found = [d["t_ns"] async for d in ParameterQueries(mongo).between(*PLACE, "config", 200, 250, 1000)]
    assert found == list(range(200, 251))
    seen = await profiled(mongo)
    assert (seen["docsExamined"], seen.get("hasSortStage")) == (51, None)


async def test_pages_of_logs_follow_each_other_without_a_sort(mongo: Mongo) -> None:
    await mongo.durable("records").database.command("profile", 2)
    queries = LogQueries(mongo)
    span: dict[str, Any] = {"start_ns": 100, "end_ns": 2**63}
    first = await queries.ascending(*PLACE, ["log"], **span, place=None, limit=10)
    again = await queries.ascending(*PLACE, ["log"], **span, place=(105, "l105"), limit=10)
    assert [d["t_ns"] for d in first] == list(range(100, 110))
    assert [d["t_ns"] for d in again] == list(range(105, 115))
    seen = await profiled(mongo)
    assert seen["docsExamined"] <= 12
    assert seen.get("hasSortStage") is None
    last = await queries.descending(*PLACE, ["log"], None, 3)
    before = await queries.descending(*PLACE, ["log"], (397, "l397"), 2)
    assert [d["t_ns"] for d in [*last, *before]] == [399, 398, 397, 396, 395]
    assert (await profiled(mongo))["docsExamined"] <= 4


async def test_a_table_is_fed_by_one_process_at_a_time_until_its_time_is_over(mongo: Mongo) -> None:
    one, other = (SeriesStore(mongo, SystemClock(), name) for name in ("one", "other"))
    first, second = await one.take(), await other.take()
    assert first is not None
    assert second is not None
    assert {first["_id"], second["_id"]} == {"t1", "t2"}
    assert await one.take() is None
    assert not await other.advance(first["_id"], {"rows": 5})
    await mongo.durable("records").update_one({"_id": first["_id"]}, {"$set": {"series.due_ns": 0}})
    taken = await other.take()
    assert taken is not None
    assert taken["_id"] == first["_id"]
    assert not await one.advance(first["_id"], {"rows": 5})
    assert await other.finish(first["_id"], {"state": "done"}, {"rows": 5})
    assert await other.take() is None


async def test_a_table_that_is_given_back_comes_after_those_that_wait(mongo: Mongo) -> None:
    store = SeriesStore(mongo, SystemClock(), "one")
    first = await store.take()
    assert first is not None
    await store.give_back(first["_id"], {"rows": 5})
    second = await store.take()
    again = await store.take()
    assert second is not None
    assert again is not None
    assert second["_id"] != first["_id"] == again["_id"]
    assert again["series"]["rows"] == 5
