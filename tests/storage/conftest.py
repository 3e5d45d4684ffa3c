"""What tests of the queues share: a Redis that is there, and a clock that is set by hand."""

from collections.abc import AsyncIterator

import pytest
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.storage.redis import Redis, open_redis


@pytest.fixture
async def redis(config: Config) -> AsyncIterator[Redis]:
    async with open_redis(config.redis) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
