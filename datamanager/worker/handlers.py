"""Who does which kind of job: the one table, and what a handler is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from datamanager.storage.jobs import Job

__all__ = ["Handler", "Handlers", "Outcome", "each"]

Outcome = Exception | None
"""What came of a job: None when it is done; `Unavailable` when it could not be tried; else why it failed."""


class Handler(Protocol):
    """Does jobs of one kind, several at once, so that what they write can be written in bulk.

    A job may come twice, also at the same time in two workers: doing it again must change nothing.
    """

    async def run(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Does the jobs, and tells for each what came of it. What is raised holds for all of them."""
        ...

    async def abandon(self, job: Job, error: str) -> None:
        """Told that a job failed for the last time: what waits for it in MongoDB must not wait for ever."""
        ...


Handlers = Mapping[str, Handler]
"""Kind of job to its handler."""


class each:  # noqa: N801  # reads as a word in the table of handlers
    """A handler that does every job by itself.

    Args:
        function: does one job; raises what `Outcome` says.
        timeout_s: a job that takes longer fails.
        abandon: told of a job that failed for the last time, and why.
    """

    def __init__(
        self,
        function: Callable[[Job], Awaitable[None]],
        *,
        timeout_s: float,
        abandon: Callable[[Job, str], Awaitable[None]] | None = None,
    ) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._abandon = abandon

    async def run(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Does the jobs, one after the other."""
        return [await self._run(job) for job in jobs]

    async def abandon(self, job: Job, error: str) -> None:
        """Hands on."""
        if self._abandon is not None:
            await self._abandon(job, error)

    async def _run(self, job: Job) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._function(job)
        except Exception as exc:  # noqa: BLE001  # whatever it is, it is this job's outcome
            return exc
        return None
