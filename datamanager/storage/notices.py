"""Word from process to process that something in MongoDB changed. Redis carries it, and may lose it."""

import asyncio

from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.redis import PubSub, Redis, redis_translated

__all__ = ["Notices"]

_log = get_logger(__name__)
_PUBLISH_S = 1.0  # nobody waits longer for a Redis that hangs


class Notices:
    """One pub/sub channel, as a hint to look now rather than in a second: who reads must look by itself too.

    Args:
        redis: carries the word.
        channel: the pub/sub channel, one of `storage.keys`.
    """

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._pubsub: PubSub | None = None

    async def tell(self, text: str = "") -> None:
        """Says that something changed. Without Redis nobody hears, and that is no error."""
        try:
            async with asyncio.timeout(_PUBLISH_S):
                with redis_translated():
                    await self._redis.client.publish(self._channel, text)
        except (RedisUnavailable, TimeoutError) as error:
            _log.info("others see a change when they next look", channel=self._channel, error=repr(error)[:200])

    async def wait(self, timeout_s: float) -> bool:
        """Waits until something is said, or for `timeout_s`; for one waiter at a time.

        Returns:
            Whether anything was said since the last wait; of what was said while Redis was away, nothing is known.
        """
        until_s = asyncio.get_running_loop().time() + timeout_s
        try:
            with redis_translated():
                if self._pubsub is None:
                    self._pubsub = self._redis.client.pubsub(ignore_subscribe_messages=True)
                    await self._pubsub.subscribe(self._channel)
                while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
                    if await self._pubsub.get_message(timeout=left_s) is not None:
                        return True
        except RedisUnavailable:
            await self.close()
            await asyncio.sleep(max(0.0, until_s - asyncio.get_running_loop().time()))
        return False

    async def close(self) -> None:
        """Ends the subscription."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # the driver's own, without types
