"""Originals on their way to S3: written a few at a time, tried again until they are there, then committed."""

import asyncio
from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError
from datamanager.ingest.commit import CommitItem, Committer
from datamanager.observability import METRICS, get_logger
from datamanager.storage.s3 import S3

__all__ = ["Original", "Originals"]

_log = get_logger(__name__)
_MAX_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Original:
    """Bytes, where they go, and what is committed once they are there."""

    key: str
    data: bytes
    mime_type: str
    item: CommitItem


class Originals:
    """Writes originals. Run `run` as a task; what may wait is bounded by what senders may have un-acked."""

    def __init__(self, s3: S3, committer: Committer, clock: Clock, concurrency: int) -> None:
        self._s3 = s3
        self._committer = committer
        self._clock = clock
        self._concurrency = concurrency
        self._queue: asyncio.Queue[Original] = asyncio.Queue()

    def submit(self, original: Original) -> None:
        """Queues an original."""
        self._queue.put_nowait(original)

    async def run(self) -> None:
        """Writes originals until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            original = await self._queue.get()
            await self._put(original)
            self._committer.submit(original.item)

    async def _put(self, original: Original) -> None:
        pause_s = 0.05
        while True:
            began = self._clock.monotonic_s()
            try:
                await self._s3.put(original.key, original.data, content_type=original.mime_type)
            except DatamanagerError as error:
                METRICS.commit_retries.labels("s3").inc()
                _log.warning("an original is written again", key=original.key, error=error.detail[:200])
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _MAX_PAUSE_S)
            else:
                METRICS.commit_s.labels("s3").observe(self._clock.monotonic_s() - began)
                return
