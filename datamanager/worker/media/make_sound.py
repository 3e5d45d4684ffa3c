"""The job `audio_preview`: waveform peaks and an Opus preview of one sound."""

from datamanager.kinds.media.jobs import AUDIO_JOB
from datamanager.storage.mongo import Document
from datamanager.worker.media.make import MediaStores, product_key, source_of
from datamanager.worker.media.sound import SoundLimits, sound_products

__all__ = ["MakeSound"]


class MakeSound:
    """Does one job; called with the record."""

    def __init__(self, stores: MediaStores, limits: SoundLimits) -> None:
        self._stores = stores
        self._limits = limits

    async def __call__(self, document: Document) -> None:
        """Makes what a record lacks.

        Raises:
            Unavailable: a server does not answer.
            ProcessDied: the child process died, and it is not known of what.
        """
        metadata = document["metadata"]
        raw = None
        if document["mime_type"] == "audio/pcm":
            raw = (metadata["codec"], metadata["sample_rate"], metadata["channels"])
        source = source_of(self._stores.s3, document)
        form = "pcm" if raw else metadata["format"]
        made = await self._stores.pool.run(sound_products, source, form, raw, self._limits)
        preview, waveform = product_key(document, ".ogg"), product_key(document, ".waveform")
        await self._stores.s3.put(preview, made.preview, content_type="audio/ogg")
        await self._stores.s3.put(waveform, made.peaks, content_type="application/msgpack")
        fields = {"keys.preview": preview, "keys.waveform": waveform}
        await self._stores.derivations.done(document, AUDIO_JOB, fields)
