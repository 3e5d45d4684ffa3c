"""A tier of a frame with what models saw drawn into it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from datamanager.errors import DatamanagerError, Refused
from datamanager.kinds.images.overlay import DRAWING, OverlayBox, draw_boxes
from datamanager.playback.contents import Contents
from datamanager.playback.frame_tiers import FrameTierReader, TierBytes, TierElsewhere, TierImpossible, TierPending
from datamanager.playback.record_items import Tier
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.result_queries import ResultQueries
from datamanager.storage.s3 import S3

__all__ = ["OverlayReader", "TierWithOverlay", "parse_overlay"]

_MOST_RESULTS = 200
_MOST_PIXELS = 24_000_000  # of an original: what a child draws into within its time and memory
_MOST_CHARS = 200


@dataclass(frozen=True, slots=True)
class TierWithOverlay:
    """A picture that can be drawn.

    Attributes:
        etag: names the picture by what is drawn into what, quoted.
    """

    etag: str
    frame_id: str
    tier: Tier
    boxes: tuple[OverlayBox, ...]
    size: tuple[int, int] | None
    data: bytes | None


def parse_overlay(text: str) -> tuple[str | None, ...]:
    """The rules whose detections are asked for; None stands for the newest of any.

    `detections` or `detections:rule`, more than one with commas.

    Raises:
        Refused: `wrong_type` where it is neither.
    """
    rules: dict[str | None, None] = {}
    for part in text[: _MOST_CHARS + 1].split(","):
        kind, colon, rule = part.partition(":")
        if kind != "detections" or (colon and not rule) or len(text) > _MOST_CHARS:
            raise Refused("wrong_type", f"overlay {text[:64]!r} is neither detections nor detections:rule")
        rules[rule or None] = None
    return tuple(rules)


class OverlayReader:
    """Answers `/frames/{frame_id}/{tier}?overlay=`.

    Args:
        records: finds frames.
        results: what models said of them.
        tier_reader: gives tiers, made where they are missing.
        contents: has functions called in a child process.
        s3: holds previews and originals.
    """

    def __init__(
        self,
        records: RecordQueries,
        results: ResultQueries,
        tier_reader: FrameTierReader,
        contents: Contents,
        s3: S3,
    ) -> None:
        self._records = records
        self._results = results
        self._tier_reader = tier_reader
        self._contents = contents
        self._s3 = s3

    async def open(
        self, frame_id: str, tier: Tier, overlay: str
    ) -> TierWithOverlay | TierBytes | TierElsewhere | TierPending:
        """What is to be drawn; the tier as it is where there is nothing to draw.

        Raises:
            NotFound: there is no such frame, or its bytes are gone.
            TierImpossible: the tier cannot be made of this frame, or is no picture.
            Refused: the overlay is none.
        """
        rules = parse_overlay(overlay)
        plain, found = await asyncio.gather(
            self._tier_reader.open(frame_id, tier), self._results.of_frame(frame_id, _MOST_RESULTS)
        )
        chosen = _chosen(found, rules)
        boxes = tuple(box for result in chosen for box in _boxes(result))
        if not boxes or isinstance(plain, TierPending):
            return plain
        shown = [[result["_id"], result["detections"]] for result in chosen]
        name = msgspec.json.encode([DRAWING, frame_id, tier, shown], enc_hook=str)
        return TierWithOverlay(
            etag=f'"{blake2b(name, digest_size=16).hexdigest()}"',
            frame_id=frame_id,
            tier=tier,
            boxes=boxes,
            size=_size(chosen),
            data=plain.data if isinstance(plain, TierBytes) else None,
        )

    async def draw(self, wanted: TierWithOverlay) -> bytes:
        """The picture, as JPEG.

        Raises:
            NotFound: the frame, or its bytes, went meanwhile.
            TierImpossible: nothing can be drawn into it.
        """
        frame = await self._records.frame(wanted.frame_id)
        _refuse_what_is_no_picture(frame, wanted.tier)
        data = wanted.data if wanted.data is not None else await self._s3.get(frame["keys"][wanted.tier])
        try:
            return await self._contents.call(draw_boxes, data, wanted.boxes, wanted.size or _upright(frame))
        except (Refused, MemoryError) as exc:
            why = exc.detail if isinstance(exc, DatamanagerError) else "it is too large"
            raise TierImpossible(
                f"nothing can be drawn into the {wanted.tier} of frame {wanted.frame_id!r}: {why}"
            ) from exc


def _chosen(found: Sequence[Document], rules: Sequence[str | None]) -> list[Document]:
    """The results to be drawn: of each rule that is named its own; of none that is, the newest."""
    detected = [result for result in found if result["status"] == "ok" and result.get("detections")]
    chosen: dict[str, Document] = {}
    for rule in rules:
        of_rule = [result for result in detected if rule is None or result["enrichment"] == rule]
        if of_rule:
            newest = max(of_rule, key=lambda result: result["at_ns"])
            chosen[newest["_id"]] = newest
    return list(chosen.values())


def _boxes(result: Document) -> list[OverlayBox]:
    return [
        OverlayBox(
            box=tuple(float(side) for side in box["box"]),  # type: ignore[arg-type]  # four, as a detector's are
            name=str(box["class"]),
            class_id=box.get("class_id"),
            score=float(box["score"]),
            track_id=box.get("track_id"),
        )
        for box in result["detections"]
    ]


def _size(chosen: Sequence[Document]) -> tuple[int, int] | None:
    """What the boxes are measured in, where the models say it."""
    for result in chosen:
        extra: dict[str, Any] = result.get("extra") or {}
        if extra.get("width") and extra.get("height"):
            return int(extra["width"]), int(extra["height"])
    return None


def _upright(frame: Document) -> tuple[int, int] | None:
    return (int(frame["width"]), int(frame["height"])) if frame.get("width") and frame.get("height") else None


def _refuse_what_is_no_picture(frame: Document, tier: Tier) -> None:
    is_cloud = frame.get("role") == "pointcloud"
    if frame["kind"] != "images" or (is_cloud and tier != "thumbnail"):
        raise TierImpossible(f"the {tier} of frame {frame['_id']!r} is no picture that boxes can be drawn into")
    if tier == "original" and (frame.get("width") or 0) * (frame.get("height") or 0) > _MOST_PIXELS:
        raise TierImpossible(
            f"the original of frame {frame['_id']!r} has more than {_MOST_PIXELS} pixels: ask for its preview"
        )
