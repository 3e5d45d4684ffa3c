"""Waveforms and previews of sound."""

from datamanager.kinds.media.jobs import AUDIO_JOB
from datamanager.kinds.media.peaks import Waveform, read_waveform
from datamanager.playback.derived import DerivedReader, StillPending
from datamanager.playback.record_items import RecordItems
from datamanager.storage.s3 import S3

__all__ = ["SoundReader"]


class SoundReader:
    """Answers `/records/{record_id}/waveform` and `…/preview`."""

    def __init__(self, derived: DerivedReader, items: RecordItems, s3: S3) -> None:
        self._derived = derived
        self._items = items
        self._s3 = s3

    async def waveform(self, record_id: str, buckets: int) -> Waveform | StillPending:
        """The peaks of a sound, in so many buckets at most.

        Raises:
            NotFound: there is no such record.
            Refused: it is no sound.
            NotDerivable: it cannot be decoded.
        """
        found = await self._derived.open(record_id, "audio", AUDIO_JOB)
        if isinstance(found, StillPending):
            return found
        return read_waveform(await self._s3.get(found["keys"]["waveform"]), buckets)

    async def preview(self, record_id: str) -> str | StillPending:
        """The pre-signed URL of a sound's preview.

        Raises:
            NotFound: there is no such record.
            Refused: it is no sound.
            NotDerivable: it cannot be decoded.
        """
        found = await self._derived.open(record_id, "audio", AUDIO_JOB)
        return found if isinstance(found, StillPending) else self._items.presigned(found, "preview") or StillPending()
