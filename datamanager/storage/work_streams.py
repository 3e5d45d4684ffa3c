"""What the queues have in common: Redis Streams with one consumer group, and what comes back into them later.

No command and no script names two keys, so that each may live on another node of a cluster.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from datamanager.clock import Clock
from datamanager.storage.redis import Redis, ResponseError, redis_translated

__all__ = ["Entry", "Later", "WorkStreams"]

Entry = tuple[bytes, dict[bytes, bytes] | None]
"""Id and fields of an entry; no fields when it was deleted meanwhile."""

_LEASE_MS: Final = 5000
# Of what is put back in no entry has half a millisecond: whether a lease still stands can be told by it.
_LEASE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, data in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], data) end
return due
"""
_REMOVE = """
for i = 2, #ARGV do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i])) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
"""

T = TypeVar("T")


class Later:
    """A sorted set of what is to be done later, by the millisecond when it is due.

    Whoever takes what is due holds it for five seconds and then removes it: who dies between loses nothing.

    Args:
        redis: where it is.
        clock: tells what is due.
        key: its key.
    """

    def __init__(self, redis: Redis, clock: Clock, key: str) -> None:
        self._client = redis.client
        self._clock = clock
        self._key = key
        self._lease = self._client.register_script(_LEASE)
        self._remove = self._client.register_script(_REMOVE)

    async def put(self, entries: Iterable[tuple[bytes, float]]) -> None:
        """Puts entries in, each with the seconds until it is due; one that is there is due then."""
        now_ms = self._clock.now_ns() // 1_000_000
        dues = {data: now_ms + int(delay_s * 1000) for data, delay_s in entries}
        if dues:
            with redis_translated():
                await self._client.zadd(self._key, dues)

    async def move(self, add: Callable[[list[bytes]], Awaitable[object]], limit: int) -> int:
        """Hands what is due to `add`, and removes it once that is through.

        Of several who do so at once each gets others. Where one of them dies in between, an entry is handed on twice.

        Returns:
            How many.
        """
        now_ms = self._clock.now_ns() // 1_000_000
        lease = f"{now_ms + _LEASE_MS}.5"
        with redis_translated():
            due: list[bytes] = await self._lease(keys=[self._key], args=[now_ms, lease, limit])
        if due:
            await add(due)
            with redis_translated():  # not what was put back meanwhile
                await self._remove(keys=[self._key], args=[lease, *due])
        return len(due)

    async def count(self) -> int:
        """How many entries there are."""
        with redis_translated():
            return int(await self._client.zcard(self._key))


class WorkStreams:
    """Streams whose entries a group of consumers share. Every method raises `RedisUnavailable`.

    Args:
        redis: where they are.
        prefix: of their keys, before a colon and their names.
        group: name of the consumer group. Where Redis was wiped it is made again, from the first entry on.
        consumer: a name no other living process uses; those that only add need none.
    """

    def __init__(self, redis: Redis, *, prefix: str, group: str, consumer: str) -> None:
        self._client = redis.client
        self._prefix = prefix
        self._group = group
        self._consumer = consumer

    def key(self, name: str) -> str:
        """The key of a stream."""
        return f"{self._prefix}:{name}"

    async def read(self, name: str, count: int, block_ms: int | None = None) -> Sequence[Entry]:
        """Takes up to `count` entries that nobody has taken; waits up to `block_ms` where there are none."""
        answer: Any = await self._grouped(
            name,
            lambda key: self._client.xreadgroup(self._group, self._consumer, {key: ">"}, count=count, block=block_ms),
        )
        if not answer:
            return ()
        # RESP2 answers with a list of pairs, RESP3 with a dict.
        entries: Sequence[Entry] = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
        return entries

    async def finish(self, ids: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        """Removes entries that this consumer holds, by the names of their streams."""
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for name, some in ids:
                    if some:
                        pipe.xack(self.key(name), self._group, *some)
                        pipe.xdel(self.key(name), *some)
                await pipe.execute()

    async def renew(self, ids: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        """Says of entries that this consumer holds that they are still being worked on."""
        for name, some in ids:
            if some:
                await self._grouped(
                    name,
                    lambda key, some=some: self._client.xclaim(  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
                        key, self._group, self._consumer, 0, list(some), justid=True
                    ),
                )

    async def claim(self, name: str, idle_s: float, limit: int) -> list[tuple[Entry, int]]:
        """Takes over up to `limit` entries that were taken and not renewed for `idle_s`.

        Returns:
            Each, with how many consumers had it before.
        """
        idle_ms = int(idle_s * 1000)
        pending: Any = await self._grouped(
            name, lambda key: self._client.xpending_range(key, self._group, "-", "+", limit, idle=idle_ms)
        )
        if not pending:
            return []
        had = {p["message_id"]: int(p["times_delivered"]) for p in pending}
        entries: Any = await self._grouped(
            name, lambda key: self._client.xclaim(key, self._group, self._consumer, idle_ms, list(had))
        )
        claimed: list[Entry] = [entry for entry in entries if entry[0] is not None]
        there = {entry_id for entry_id, _ in claimed}
        # Claimed by another consumer meanwhile, or deleted: then nothing but the group's memory of it is left.
        await self._forget_deleted(name, [entry_id for entry_id in had if entry_id not in there])
        return [(entry, had[entry[0]]) for entry in claimed]

    async def drop_gone_consumers(self, names: Iterable[str], idle_s: float) -> None:
        """Forgets consumers that hold nothing and were not heard of for `idle_s`."""
        for name in names:
            consumers = await self._grouped(name, lambda key: self._client.xinfo_consumers(key, self._group))
            for consumer in consumers:
                if not consumer["pending"] and consumer["idle"] > idle_s * 1000:
                    with redis_translated():
                        await self._client.xgroup_delconsumer(self.key(name), self._group, consumer["name"])

    async def _forget_deleted(self, name: str, ids: Sequence[bytes]) -> None:
        for entry_id in ids:
            with redis_translated():
                if not await self._client.xrange(self.key(name), entry_id, entry_id):
                    await self._client.xack(self.key(name), self._group, entry_id)

    async def _grouped(self, name: str, command: Callable[[str], Awaitable[T]]) -> T:
        """Runs a command of the group on a stream's key."""
        key = self.key(name)
        with redis_translated():
            try:
                return await command(key)
            except ResponseError as exc:
                if "NOGROUP" not in str(exc) and "no such key" not in str(exc):
                    raise
            try:
                # From the first entry on: some may have been added since the wipe.
                await self._client.xgroup_create(key, self._group, id="0", mkstream=True)
            except ResponseError as exc:
                if "BUSYGROUP" not in str(exc):
                    raise
            return await command(key)
