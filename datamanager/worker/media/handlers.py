"""Who does which job of sound and video."""

from collections.abc import Awaitable, Callable
from functools import partial

from datamanager.config import WorkerConfig
from datamanager.kinds.media.jobs import AUDIO_JOB, HLS_JOB, THUMBNAILS_JOB
from datamanager.storage.jobs import Job, JobQueue
from datamanager.storage.mongo import Document
from datamanager.storage.thumbnails import Thumbnails
from datamanager.worker.handlers import Handler, each
from datamanager.worker.media.make import MediaStores, derive
from datamanager.worker.media.make_hls import MakeHls
from datamanager.worker.media.make_sound import MakeSound
from datamanager.worker.media.make_thumbnails import MakeThumbnails
from datamanager.worker.media.sound import SoundLimits
from datamanager.worker.media.transcode import TranscodeLimits

__all__ = ["media_handlers"]

_SLICE_S = 8.0  # of a video, before others have their turn


def media_handlers(
    config: WorkerConfig, queue: JobQueue, stores: MediaStores, thumbnails: Thumbnails
) -> dict[str, Handler]:
    """The handlers by the kind of their jobs.

    Args:
        config: how much is made.
        queue: takes what is to be gone on with later.
        stores: what all of them need.
        thumbnails: where small pictures go.
    """
    # A job waits for a child that may be at work for others, each for as long as a job may take.
    timeout_s = 5 * config.job_timeout_s
    limits = TranscodeLimits(config.media_max_duration_s, config.video_max_pixels)
    sounds = MakeSound(stores, SoundLimits(config.media_max_duration_s, config.audio_preview_s))

    async def abandon(job: Job, error: str) -> None:
        document = await stores.derivations.fetch(job.key)
        if document is not None:
            await stores.derivations.failed(document, job.kind, error)

    budget_s = min(_SLICE_S, config.job_timeout_s / 4)
    hls = MakeHls(stores, queue, limits, budget_s=budget_s, lease_s=2 * config.job_timeout_s)
    small = MakeThumbnails(stores, thumbnails, limits, config.video_thumbnails)
    makers: dict[str, Callable[[Document], Awaitable[None]]] = {AUDIO_JOB: sounds, THUMBNAILS_JOB: small, HLS_JOB: hls}
    return {
        name: each(partial(derive, stores.derivations, make), timeout_s=timeout_s, abandon=abandon)
        for name, make in makers.items()
    }
