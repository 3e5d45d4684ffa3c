"""`/records/{record_id}/waveform` and `…/preview`."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED, HTTP_307_TEMPORARY_REDIRECT

from datamanager.kinds.media.peaks import MOST_BUCKETS
from datamanager.playback.derived import StillPending
from datamanager.playback.params import parse_int
from datamanager.playback.sounds import SoundReader

__all__ = ["SOUND_HANDLERS", "pending_answer"]

_DEFAULT_BUCKETS = 1000


@get("/records/{record_id:str}/waveform", summary="The waveform of a sound", tags=["playback"])
async def get_waveform(
    sounds: NamedDependency[SoundReader],
    record_id: FromPath[str],
    buckets: Annotated[str | None, QueryParameter(description=f"how many at most; {MOST_BUCKETS} is the most")] = None,
) -> Response[Any]:
    """The least and the greatest sample of each bucket, over all channels, from -1 to 1. 202 while it is being made."""
    count = parse_int(buckets, "buckets", default=_DEFAULT_BUCKETS, most=MOST_BUCKETS)
    found = await sounds.waveform(record_id, count)
    if isinstance(found, StillPending):
        return pending_answer(found, record_id)
    return Response(found, media_type="application/json", headers={"Cache-Control": "public, max-age=86400"})


@get("/records/{record_id:str}/preview", summary="The preview of a sound", tags=["playback"])
async def get_preview(sounds: NamedDependency[SoundReader], record_id: FromPath[str]) -> Response[Any]:
    """A redirect to Ogg with Opus, mono or stereo. 202 while it is being made."""
    found = await sounds.preview(record_id)
    if isinstance(found, StillPending):
        return pending_answer(found, record_id)
    headers = {"Location": found, "Cache-Control": "no-store"}
    return Response(b"", status_code=HTTP_307_TEMPORARY_REDIRECT, headers=headers)


def pending_answer(pending: StillPending, record_id: str) -> Response[Any]:
    """That something is being made, and when to ask again."""
    headers = {"Retry-After": str(pending.retry_after_s), "Cache-Control": "no-store"}
    body = {"status": "pending", "record_id": record_id}
    return Response(body, status_code=HTTP_202_ACCEPTED, media_type="application/json", headers=headers)


SOUND_HANDLERS = [get_waveform, get_preview]
