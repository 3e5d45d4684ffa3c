"""The job `tiers`: gets a frame's original, makes what it lacks in a child process, stores that, and writes it down."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from datamanager.kinds.images.info import ImageLimits
from datamanager.processes import ProcessPool
from datamanager.storage.jobs import PRIORITIES, Job
from datamanager.storage.keys import preview_key
from datamanager.storage.s3 import S3
from datamanager.storage.thumbnails import Thumbnail, Thumbnails
from datamanager.storage.tiers import Frame, FrameTiers, MadeTier, TierName
from datamanager.worker.child import tiers_of
from datamanager.worker.handlers import Outcome
from datamanager.worker.tier import Tier

__all__ = ["MakeTiers"]

_IN_PASSING = 6  # frames being fetched or stored, beside those being decoded


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of one frame, its preview stored and its thumbnail not yet."""

    tier: MadeTier
    thumbnail: Thumbnail | None = None


class MakeTiers:
    """Makes tiers of frames.

    Args:
        s3: holds originals and previews.
        frames: what is known of frames.
        thumbnails: where thumbnails go.
        pool: where decoding happens.
        limits: as ingest had them: the largest picture and cloud.
    """

    def __init__(
        self, s3: S3, frames: FrameTiers, thumbnails: Thumbnails, pool: ProcessPool, limits: ImageLimits
    ) -> None:
        self._s3 = s3
        self._frames = frames
        self._thumbnails = thumbnails
        self._pool = pool
        self._limits = limits
        # A frame in a slot is whole in memory, so that slots bound it. More than are decoded at once: while these
        # are, others are fetched and stored (measured: a fifth to a half more frames a second than with two more).
        self._slots = asyncio.Semaphore(pool.size + _IN_PASSING)
        self._urgent_slots = asyncio.Semaphore(pool.size)

    async def run(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Makes what the frames lack; a frame that is gone or has all that was asked for takes no work."""
        wanted = _by_frame(jobs)
        frames = await self._frames.fetch(list(wanted))
        answers = await asyncio.gather(
            *(self._one(frames.get(job.key), job) for job in wanted.values()), return_exceptions=True
        )
        made = [answer for answer in answers if isinstance(answer, _Made)]
        # What is written down as there must be there: first the thumbnails, then the metadata.
        await self._thumbnails.put([m.thumbnail for m in made if m.thumbnail is not None])
        await self._frames.record([m.tier for m in made])
        outcomes = dict(zip(wanted, (a if isinstance(a, Exception) else None for a in answers), strict=True))
        return [outcomes[job.key] for job in jobs]

    async def abandon(self, job: Job, error: str) -> None:
        """Writes down that this frame has no tiers, so that nobody waits for them."""
        await self._frames.record([MadeTier(job.key, error=error)])

    async def _one(self, frame: Frame | None, job: Job) -> _Made | None:
        if frame is None:
            return None
        lacking = frame.lacks(job.args.get("tiers", ()))
        if not lacking or frame.state == "failed":
            return _Made(MadeTier(frame.frame_id)) if frame.state == "pending" else None
        async with self._urgent_slots if job.priority == "high" else self._slots:
            tiers = await self._make(frame, lacking)
            if isinstance(tiers, str):
                return _Made(MadeTier(frame.frame_id, error=tiers))
            key = await self._store_preview(frame, tiers.get("preview"))
        small = tiers.get("thumbnail")
        return _Made(
            MadeTier(frame.frame_id, preview_key=key, thumbnail=small is not None),
            Thumbnail(frame.frame_id, small.data, small.mime_type) if small is not None else None,
        )

    async def _make(self, frame: Frame, lacking: Sequence[TierName]) -> dict[TierName, Tier] | str:
        data = await self._s3.get(frame.original_key)
        declared_format, role = frame.fields.get("format"), frame.fields.get("role")
        return await self._pool.run(tiers_of, data, declared_format, role, self._limits, lacking)

    async def _store_preview(self, frame: Frame, preview: Tier | None) -> str | None:
        if preview is None:
            return None
        fields = frame.fields
        key = preview_key(
            fields["robot_id"],
            fields["session_id"],
            fields["stream"],
            fields["t_ns"],
            frame.frame_id,
            preview.extension,
        )
        await self._s3.put(key, preview.data, content_type=preview.mime_type)
        return key


def _by_frame(jobs: Sequence[Job]) -> dict[str, Job]:
    """One job a frame, for all the tiers that any asks for, as urgent as the most urgent."""
    wanted: dict[str, Job] = {}
    for job in jobs:
        other = wanted.get(job.key, job)
        tiers = sorted({*job.args.get("tiers", ()), *other.args.get("tiers", ())})
        priority = min(job.priority, other.priority, key=PRIORITIES.index)
        wanted[job.key] = msgspec.structs.replace(job, args={"tiers": tiers}, priority=priority)
    return wanted
