"""The registry on real servers: one database and bucket for all of its tests, whose rules and models each test begins without."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.s3 import S3, open_s3


@dataclass(frozen=True)
class Servers:
    mongo: Mongo
    s3: S3
    redis: Redis


@pytest.fixture(scope="session")
def registry_config(new_config: Callable[[], Config]) -> Config:
    return new_config()


@pytest.fixture(scope="session")
async def servers(registry_config: Config) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        mongo = await stack.enter_async_context(open_mongo(registry_config.mongo))
        await apply_migrations(mongo)
        s3 = await stack.enter_async_context(open_s3(registry_config.s3))
        yield Servers(mongo, s3, await stack.enter_async_context(open_redis(registry_config.redis)))


@pytest.fixture
async def mongo(servers: Servers) -> Mongo:
    for name in ("models", "enrichments"):
        await servers.mongo.durable(name).delete_many({})
    return servers.mongo


@pytest.fixture
def s3(servers: Servers) -> S3:
    return servers.s3


@pytest.fixture
def redis(servers: Servers) -> Redis:
    return servers.redis


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def enrichments(mongo: Mongo, redis: Redis) -> Enrichments:
    return Enrichments(mongo, redis)


@pytest.fixture
def models(mongo: Mongo, s3: S3, redis: Redis, clock: ManualClock) -> Models:
    return Models(mongo, s3, redis, clock, max_bytes=1_000_000)
