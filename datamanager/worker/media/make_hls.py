"""The job `video_hls`: the segments of a video's preview, a slice at a time; of a chunk, what players take of it.

A video may take minutes. What is made is written down slice by slice, and the job queued again behind others, so that
a long one is in nobody's way, and a worker that dies costs one slice.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from datamanager.kinds.media.jobs import HLS_JOB
from datamanager.kinds.source import Source
from datamanager.storage.derivations import derive_job
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Document
from datamanager.worker.media.child import SliceRequest, transcode_slice
from datamanager.worker.media.fmp4 import TICKS_PER_S, Segment
from datamanager.worker.media.make import MediaStores, product_key, source_of
from datamanager.worker.media.remux import MOST_CHUNK_BYTES, fragment_times, remux
from datamanager.worker.media.transcode import TranscodeLimits
from datamanager.worker.media.videos import head_of, whole_source

__all__ = ["MakeHls"]

_AT_ONCE = 6
_DEFAULT_FPS = 30.0
_VIDEO_TYPE, _SEGMENT_TYPE = "video/mp4", "video/iso.segment"


class MakeHls:
    """Does one job, or a slice of it; called with the record.

    Args:
        stores: what it needs.
        queue: takes the rest of a job.
        limits: how much of a video is worked on.
        budget_s: how long a slice is worked on, about.
        lease_s: how long a slice may take; then somebody else may begin it again.
    """

    def __init__(
        self, stores: MediaStores, queue: JobQueue, limits: TranscodeLimits, *, budget_s: float, lease_s: float
    ) -> None:
        self._stores = stores
        self._queue = queue
        self._limits = limits
        self._budget_s = budget_s
        self._lease_s = lease_s

    async def __call__(self, document: Document) -> None:
        """Makes what a video lacks, or some of it.

        Raises:
            Unavailable: a server does not answer.
            ProcessDied: the child process died, and it is not known of what.
        """
        derivations = self._stores.derivations
        if not await derivations.claim(document, self._lease_s):
            return  # another worker is at it
        try:
            if document["metadata"]["part"] == "media":
                await self._take_fragment(document)
            elif document["metadata"]["part"] != "chunk" or not await self._remux(document):
                await self._transcode(document)
        except BaseException:
            await derivations.release(document)
            raise

    async def _transcode(self, document: Document) -> None:
        document = await self._stores.derivations.fetch(document["_id"]) or document
        hls: dict[str, Any] = document.get("hls") or {"durations": [], "at": 0, "base": _base_of(document)}
        durations: list[int] = hls["durations"]
        metadata = document["metadata"]
        request = SliceRequest(
            document["_id"],
            metadata["format"],
            hls["at"],
            len(durations),
            self._limits,
            base=hls["base"],
            fps=metadata.get("fps") or _DEFAULT_FPS,
            budget_s=self._budget_s,
        )
        source = await whole_source(self._stores, document)
        made = await self._stores.pool.run(transcode_slice, source, request)
        if "init" not in hls and made.init:
            hls |= await self._put_init(document, made.init)
            hls |= {"codecs": made.codecs, "width": made.size[0], "height": made.size[1], "independent": True}
        await self._put(document, made.segments, len(durations))
        hls |= {"at": made.at, "durations": durations + [segment.ticks for segment in made.segments]}
        if made.cut is not None:
            hls["cut"] = made.cut
        if made.finished:
            await self._stores.derivations.done(document, HLS_JOB, {"hls": hls | {"complete": True}})
            return
        await self._stores.derivations.progressed(document, {"hls": hls})
        await self._queue.enqueue([derive_job(HLS_JOB, document["_id"])])

    async def _remux(self, document: Document) -> bool:
        """Whether a chunk could be taken as it is."""
        if document["size_bytes"] > MOST_CHUNK_BYTES or document.get("hls"):
            return False
        head = await head_of(self._stores, document)
        parameters: Source | None = None if head is None else source_of(self._stores.s3, head)
        base, ticks = _base_of(document), await self._ticks_of(document)
        chunk = await self._stores.quick.run(remux, source_of(self._stores.s3, document), parameters, base, ticks)
        if chunk is None:
            return False
        await self._put(document, chunk.segments, 0)
        hls = await self._put_init(document, chunk.init) | {
            "codecs": chunk.codecs,
            "width": chunk.size[0],
            "height": chunk.size[1],
            "independent": chunk.independent,
            "base": base,
            "at": ticks,
            "durations": [segment.ticks for segment in chunk.segments],
            "complete": True,
        }
        await self._stores.derivations.done(document, HLS_JOB, {"hls": hls})
        return True

    async def _take_fragment(self, document: Document) -> None:
        """A fragment that a robot made is played as it is: only its times have to be known."""
        head = await head_of(self._stores, document)
        if head is None:
            return
        s3 = self._stores.s3
        times = await self._stores.quick.run(fragment_times, source_of(s3, head), source_of(s3, document))
        hls = {
            "init": head["keys"]["original"],
            "own": True,
            "independent": True,
            "base": times.start,
            "at": times.ticks,
            "durations": [times.ticks],
            "complete": True,
        }
        await self._stores.derivations.done(document, HLS_JOB, {"hls": hls})

    async def _ticks_of(self, document: Document) -> int:
        """How long a chunk lasts: as it says itself; exactly up to the next where that is about as far away."""
        metadata = document["metadata"]
        nominal = int(float(metadata.get("duration_s") or max(1, metadata["frames"]) / _DEFAULT_FPS) * TICKS_PER_S)
        following = await self._stores.derivations.after(document, {"metadata.part": "chunk"})
        if following is None:
            return max(1, nominal)
        apart = _base_of(following) - _base_of(document)
        is_told = "duration_s" in metadata
        near = (0.8, 1.25) if is_told else (0.1, 10.0)
        return apart if near[0] * nominal <= apart <= near[1] * nominal else max(1, nominal)

    async def _put_init(self, document: Document, data: bytes) -> dict[str, str]:
        """Stores what a player needs first; chunks of one stream that need the same share it."""
        place = f"processed/{document['robot_id']}/{document['session_id']}/preview/{document['stream']}"
        key = f"{place}/init_{sha256(data).hexdigest()[:24]}.mp4"
        await self._stores.s3.put(key, data, content_type=_VIDEO_TYPE)
        return {"init": key, "prefix": product_key(document, "")}

    async def _put(self, document: Document, segments: Sequence[Segment], first: int) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)
        prefix = product_key(document, "")

        async def put(number: int, segment: Segment) -> None:
            async with slots:
                await self._stores.s3.put(f"{prefix}/{number:06d}.m4s", segment.data, content_type=_SEGMENT_TYPE)

        await asyncio.gather(*(put(number, segment) for number, segment in enumerate(segments, first)))


def _base_of(document: Document) -> int:
    """Ticks from which the times of segments count: chunks of a stream share one clock, each whole video has its own."""
    if document["metadata"]["part"] == "whole":
        return 0
    return int(document["t_ns"]) * 9 // 100_000
