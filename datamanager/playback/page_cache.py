"""Pages of records in Redis, as they are sent, with their URLs: a page that is asked for again takes a fourth of its time.

A page is named by the ids on it, so that nothing new, late or deleted is ever missed. It is kept when it is asked for
the second time: who reads a whole session once leaves nothing but small marks. Without Redis every page is made anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import METRICS, get_logger
from datamanager.storage.keys import redis_frame_key
from datamanager.storage.redis import Redis, redis_translated

__all__ = ["PageCache"]

_log = get_logger(__name__)
_PATIENCE_S = 0.1  # a Redis slower than this is no help
_PAUSE_S = 2.0  # and is left alone for so long


class PageCache:
    """The cache.

    Args:
        redis: where it is.
        clock: tells when a Redis that failed is tried again.
        ttl_s: how long a page is kept; less than its URLs are good for. 0 keeps none.
    """

    def __init__(self, redis: Redis, clock: Clock, *, ttl_s: int) -> None:
        self._redis = redis
        self._clock = clock
        self._ttl_s = ttl_s
        self._again_s = 0.0

    async def through(
        self, robot_id: str, session_id: str, names: Sequence[str], make: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """The page of `names`, from the cache, or else made by `make` and kept.

        Args:
            robot_id: who recorded.
            session_id: which recording run.
            names: all that the page's content hangs on.
            make: makes the page; its errors pass through.
        """
        digest = blake2b("\0".join(names).encode(), digest_size=16).hexdigest()
        key = redis_frame_key(robot_id, session_id, f"page-{digest}")
        found = await self._asked(lambda: self._redis.client.get(key))
        METRICS.cache.labels("page", "hit" if found else "miss").inc()
        if found:
            return bytes(found)
        made = await make()
        await self._asked(lambda: self._redis.client.set(key, made, ex=self._ttl_s))
        return made

    async def _asked(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        if not self._ttl_s or self._clock.monotonic_s() < self._again_s:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                with redis_translated():
                    return await ask()
        except (RedisUnavailable, TimeoutError) as error:
            self._again_s = self._clock.monotonic_s() + _PAUSE_S
            _log.info("pages are made without the cache for a while", error=repr(error))
            return None
