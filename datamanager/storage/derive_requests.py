"""Derived data on demand: asks a worker for what a record lacks, and waits a little for it."""

import asyncio

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.storage.derivations import Derivations, derivation_error, derive_job, is_derived
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Document

__all__ = ["DeriveRequests"]

_POLL_S = 0.1


class DeriveRequests:
    """Asks for what is derived from sound and video."""

    def __init__(self, queue: JobQueue, derivations: Derivations, clock: Clock) -> None:
        self._queue = queue
        self._derivations = derivations
        self._clock = clock

    async def wait(self, record_id: str, job: str, timeout_s: float) -> Document | None:
        """Has a job done for a record, and waits until it is, cannot be, or time is up.

        Cancelling stops the wait and not the work.

        Returns:
            The record as it is then: `is_derived` and `derivation_error` tell. None when there is no such record.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        document = await self._derivations.fetch(record_id)
        if document is None or _is_settled(document, job):
            return document
        await self._derivations.ask(document, job)
        try:
            await self._queue.enqueue([derive_job(job, record_id, priority="normal")])
        except RedisUnavailable:
            timeout_s = 0  # a sweep finds it once Redis is back
        until_s = self._clock.monotonic_s() + timeout_s
        while document is not None and not _is_settled(document, job) and self._clock.monotonic_s() < until_s:
            await asyncio.sleep(_POLL_S)
            document = await self._derivations.fetch(record_id)
        return document


def _is_settled(document: Document, job: str) -> bool:
    return is_derived(document, job) or derivation_error(document, job) is not None
