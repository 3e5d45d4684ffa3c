"""Tiers on demand: asks a worker for what a frame lacks, and waits a little for it."""

import asyncio
from collections.abc import Sequence

from datamanager.clock import Clock
from datamanager.errors import MongoUnavailable, RedisUnavailable
from datamanager.storage.jobs import JobQueue
from datamanager.storage.tiers import Frame, FrameTiers, TierName, tiers_job

__all__ = ["TierRequests"]

_POLL_S = 0.025  # a picture's tiers take an idle worker 15 to 50 ms


class TierRequests:
    """Asks for tiers. However many wait in this process, MongoDB is asked once per poll for all of them."""

    def __init__(self, queue: JobQueue, frames: FrameTiers, clock: Clock) -> None:
        self._queue = queue
        self._frames = frames
        self._clock = clock
        self._waiting: dict[asyncio.Future[Frame | None], tuple[str, Sequence[TierName]]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, frame_id: str, tiers: Sequence[TierName], timeout_s: float) -> Frame | None:
        """Has the missing ones of `tiers` made, and waits until they are there, cannot be made, or time is up.

        Without Redis nothing is made now; the frame is marked, so that a sweep has it made. Cancelling stops the wait
        and not the work.

        Returns:
            The frame as it is then: `lacks` tells what is still missing, `state` whether it ever comes. None when
            there is no such frame.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        frame = (await self._frames.fetch([frame_id])).get(frame_id)
        if frame is None or _is_settled(frame, tiers):
            return frame
        await self._ask(frame, tiers)
        return await self._wait(frame, tiers, timeout_s)

    async def _ask(self, frame: Frame, tiers: Sequence[TierName]) -> None:
        try:
            await self._queue.enqueue([tiers_job(frame.frame_id, frame.lacks(tiers), priority="high")])
        except RedisUnavailable:
            await self._frames.ask([frame.frame_id])

    async def _wait(self, frame: Frame, tiers: Sequence[TierName], timeout_s: float) -> Frame | None:
        future: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = (frame.frame_id, tiers)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return (await self._frames.fetch([frame.frame_id])).get(frame.frame_id)
        finally:
            del self._waiting[future]

    async def _poll(self) -> None:
        while self._waiting:
            await self._clock.sleep(_POLL_S)
            waiting = dict(self._waiting)
            try:
                frames = await self._frames.fetch(sorted({frame_id for frame_id, _ in waiting.values()}))
            except MongoUnavailable as exc:
                for future in waiting:
                    if not future.done():
                        future.set_exception(exc)
                return
            for future, (frame_id, tiers) in waiting.items():
                frame = frames.get(frame_id)
                if not future.done() and (frame is None or _is_settled(frame, tiers)):
                    future.set_result(frame)


def _is_settled(frame: Frame, tiers: Sequence[TierName]) -> bool:
    return frame.state == "failed" or not frame.lacks(tiers)
