"""The one place that talks to Redis. Redis may be wiped or gone at any moment, so nothing here is the truth."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import Redis as RedisClient
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, ResponseError

from datamanager.config import RedisConfig
from datamanager.errors import ConfigError, RedisUnavailable

__all__ = ["PubSub", "Redis", "RedisClient", "ResponseError", "open_redis", "redis_translated"]


@contextmanager
def redis_translated() -> Any:
    """Turns the driver's errors into `RedisUnavailable`."""
    try:
        yield
    except (RedisError, OSError) as exc:
        raise RedisUnavailable(f"Redis does not answer: {exc}") from exc


class Redis:
    """A handle on Redis; values are bytes."""

    def __init__(self, client: "RedisClient") -> None:
        self.client = client

    async def ping(self) -> None:
        """Returns when Redis answers.

        Raises:
            RedisUnavailable: it does not.
        """
        with redis_translated():
            await self.client.ping()


@asynccontextmanager
async def open_redis(config: RedisConfig) -> AsyncIterator[Redis]:
    """Opens Redis; connections are made on first use and closed on leaving.

    Raises:
        ConfigError: the address cannot be read.
    """
    try:
        client = RedisClient.from_url(
            config.url,
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 1),
            health_check_interval=0,
        )
    except ValueError as exc:
        raise ConfigError(f"DATAMANAGER_REDIS_URL={config.url!r}: {exc}") from exc
    try:
        yield Redis(client)
    finally:
        await client.aclose()
