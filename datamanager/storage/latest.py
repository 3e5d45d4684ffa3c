"""The newest samples of a session in Redis: for dashboards that ask often, and would rather be a second late.

`telemetry:{robot}:{session}:latest` is a hash, stream to its last samples (at most 1000) as an Arrow IPC stream with
the columns of a block. It is written about once a second and may be gone at any moment; nothing is decided by it.
"""

from collections.abc import Mapping
from typing import Any

from datamanager.storage.keys import redis_latest_key
from datamanager.storage.redis import Redis, redis_translated

__all__ = ["LATEST_SAMPLES", "LatestSamples"]

LATEST_SAMPLES = 1000
_TTL_S = 3600

Place = tuple[str, str]  # robot_id, session_id


class LatestSamples:
    """The hashes. Every method raises `RedisUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._client = redis.client

    async def put(self, fresh: Mapping[Place, Mapping[str, bytes]]) -> None:
        """Replaces the samples of streams, of any number of sessions at once."""
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipeline:
                for place, streams in fresh.items():
                    key = redis_latest_key(*place)
                    mapping: dict[Any, Any] = dict(streams)  # the driver types a key as any of six
                    pipeline.hset(key, mapping=mapping)
                    pipeline.expire(key, _TTL_S)
                await pipeline.execute()

    async def get(self, robot_id: str, session_id: str) -> dict[str, bytes]:
        """Stream to its last samples; empty when nothing is kept."""
        with redis_translated():
            found: dict[Any, Any] = await self._client.hgetall(redis_latest_key(robot_id, session_id))
        return {stream.decode(): data for stream, data in found.items()}
