"""Which connection speaks for a producer: the one that said `hello` last, in whichever process."""

import asyncio
from uuid import uuid4

from datamanager.errors import RedisUnavailable
from datamanager.ingest.sender import Sender
from datamanager.observability import get_logger
from datamanager.storage.redis import Redis, redis_translated

__all__ = ["Owners"]

_log = get_logger(__name__)
_CHANNEL = "producers"
_PUBLISH_S = 1.0  # no robot waits longer for a Redis that hangs


class Owners:
    """Closes the older connection of a producer. Run `run` as a task to hear of other processes' connections.

    Redis only makes it quick: without it the ledger tells another process, before that acks anything more.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._owners: dict[str, Sender] = {}
        self._process = uuid4().hex

    async def take_over(self, name: str, sender: Sender) -> None:
        """Makes `sender` the one connection of the producer called `robot/session/producer`."""
        older = self._owners.get(name)
        if older is sender:
            return
        if older is not None:
            older.supersede("a newer hello of the same producer came")
        self._owners[name] = sender
        try:
            async with asyncio.timeout(_PUBLISH_S):
                with redis_translated():
                    await self._redis.client.publish(_CHANNEL, f"{self._process} {name}")
        except (RedisUnavailable, TimeoutError) as error:
            _log.info("other processes hear of a newer hello when they next write", error=repr(error)[:200])

    def leave(self, sender: Sender) -> None:
        """The connection is gone."""
        for name in [name for name, owner in self._owners.items() if owner is sender]:
            del self._owners[name]

    async def run(self) -> None:
        """Listens until cancelled."""
        while True:
            try:
                with redis_translated():
                    await self._listen()
            except RedisUnavailable:
                await asyncio.sleep(1)

    async def _listen(self) -> None:
        async with self._redis.client.pubsub() as pubsub:
            await pubsub.subscribe(_CHANNEL)
            async for message in pubsub.listen():
                if message["type"] != "message":
                    continue
                process, _, name = message["data"].decode().partition(" ")
                older = self._owners.get(name)
                if process != self._process and older is not None:
                    older.supersede("a newer hello of the same producer came to another process")
