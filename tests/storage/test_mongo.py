"""The driver's errors become ours, and a database that is away is told from a document that is bad."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from datamanager.config import Config
from datamanager.errors import ConfigError, DatamanagerError, MongoUnavailable
from datamanager.storage.mongo import BulkFailure, DuplicateKey, Mongo, find_or_make, open_mongo, translated


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    async with open_mongo(config.mongo) as found:
        yield found


async def test_a_database_that_is_away_is_unavailable(config: Config) -> None:
    away = replace(config.mongo, url="mongodb://127.0.0.1:1", timeout_s=0.5)
    async with open_mongo(away) as mongo:
        with pytest.raises(MongoUnavailable):
            await mongo.ping()


async def test_an_address_that_cannot_be_read_stops_the_start(config: Config) -> None:
    with pytest.raises(ConfigError, match="DATAMANAGER_MONGO_URL"):
        async with open_mongo(replace(config.mongo, url="mongo://x")):
            pass


async def test_a_key_that_is_taken_is_a_conflict_and_in_a_bulk_names_its_place(mongo: Mongo) -> None:
    await mongo.ping()
    collection = mongo.durable("x")
    await collection.insert_one({"_id": 1})
    with pytest.raises(DuplicateKey), translated():
        await collection.insert_one({"_id": 1})
    with pytest.raises(BulkFailure) as failure, translated():
        await collection.insert_many([{"_id": 2}, {"_id": 1}, {"_id": 3}], ordered=False)
    assert list(failure.value.refused) == [1]
    assert failure.value.only_duplicates
    assert await collection.count_documents({}) == 3


async def test_what_the_server_refuses_for_good_is_no_outage(mongo: Mongo) -> None:
    with pytest.raises(DatamanagerError) as refused, translated():
        await mongo.database.command("no such command")
    assert not isinstance(refused.value, MongoUnavailable)


async def test_a_write_that_is_not_journaled_by_a_majority_is_none(mongo: Mongo) -> None:
    assert mongo.durable("x").write_concern.document == {"w": "majority", "j": True}
    assert mongo.quick("x").write_concern.document == {"w": 1}


async def test_a_document_that_many_want_in_one_moment_is_made_once(mongo: Mongo) -> None:
    collection = mongo.durable("wanted")
    found = await asyncio.gather(*(find_or_make(collection, "a", {"maker": n}, {"seen": n}) for n in range(20)))
    (kept,) = await collection.find().to_list()
    assert {document["maker"] for document in found} == {kept["maker"]}
    assert sorted(document["seen"] for document in found) == list(range(20))
    assert await find_or_make(collection, "a", {"maker": "another"}) == kept
