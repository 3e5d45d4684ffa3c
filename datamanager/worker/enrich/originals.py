"""The originals of frames that wait for models: fetched ahead as far as memory goes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakSet

from datamanager.clock import Clock
from datamanager.errors import NotFound, Unavailable
from datamanager.observability import METRICS, get_logger
from datamanager.storage.s3 import S3

__all__ = ["Original", "Originals"]

_log = get_logger(__name__)
_READS = 16  # at once
_LONGEST_PAUSE_S = 5.0


class Originals:
    """Fetches originals from S3 and counts how much of them is held, from when one is asked for until it is let go.

    What is asked for ahead has to fit into the room. What is needed now is fetched whatever else is held, so that no
    frame ever waits for another one to go: what is held exceeds the room by one frame for each model at most.

    Args:
        s3: holds them.
        clock: paces tries while S3 is away.
        room_bytes: how much may be held.
    """

    def __init__(self, s3: S3, clock: Clock, *, room_bytes: int) -> None:
        self._s3 = s3
        self._clock = clock
        self._room_bytes = room_bytes
        self._held_bytes = 0
        self._reads = asyncio.Semaphore(_READS)
        self._asked: WeakSet[Original] = WeakSet()

    @property
    def held_bytes(self) -> int:
        """How much is held now: what is still on its way counts as what it is said to have."""
        return self._held_bytes

    def ask(self, key: str, size_bytes: int, *, ahead: bool) -> "Original | None":
        """Begins to fetch an object.

        Args:
            key: in S3.
            size_bytes: that it is said to have. Once it is there it counts as what it has.
            ahead: whether it is not needed yet.

        Returns:
            None where there is no room for what is not needed yet.
        """
        if ahead and self._held_bytes + size_bytes > self._room_bytes:
            return None
        original = Original(partial(self._get, key), size_bytes, self._counts)
        self._asked.add(original)
        return original

    def close(self) -> None:
        """Lets everything go."""
        for original in tuple(self._asked):
            original.let_go()

    def _counts(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        METRICS.inference_held.set(self._held_bytes)

    async def _get(self, key: str) -> bytes | None:
        pause_s = 0.1
        while True:
            try:
                async with self._reads:
                    return await self._s3.get(key)
            except NotFound:
                return None
            except Unavailable as error:
                _log.warning("a frame waits for S3", error=error.detail[:200])
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class Original:
    """One original, on its way or here. It is held until it is let go.

    Args:
        get: brings its bytes; None of them when it is gone.
        size_bytes: that it is said to have.
        counts: is told by how much more, or less, is held.
    """

    def __init__(
        self, get: Callable[[], Awaitable[bytes | None]], size_bytes: int, counts: Callable[[int], None]
    ) -> None:
        self._counts = counts
        self._counted_bytes = 0
        self._count(size_bytes)
        self._task = asyncio.create_task(self._hold(get))

    async def data(self) -> bytes | None:
        """Its bytes, once they are here; None of them when it is gone from S3."""
        return await self._task

    def let_go(self) -> None:
        """Gives its room back, and ends the fetching. Nothing happens when that was done before."""
        self._task.cancel()
        self._count(0)

    async def _hold(self, get: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        data = await get()
        self._count(0 if data is None else len(data))
        return data

    def _count(self, size_bytes: int) -> None:
        self._counts(size_bytes - self._counted_bytes)
        self._counted_bytes = size_bytes
