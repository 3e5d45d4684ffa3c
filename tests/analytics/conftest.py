"""Real stores for analytics."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.analytics import Bench

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import open_mongo
from datamanager.storage.redis import open_redis
from datamanager.storage.s3 import open_s3


@pytest.fixture(scope="package")
async def bench_config(new_config: Any) -> Config:
    config: Config = new_config()
    return config


@pytest.fixture
async def bench(bench_config: Config) -> AsyncIterator[Bench]:
    async with (
        open_mongo(bench_config.mongo) as mongo,
        open_redis(bench_config.redis) as redis,
        open_s3(bench_config.s3) as s3,
    ):
        await apply_migrations(mongo)
        yield Bench(mongo, redis, s3, SystemClock())
