"""A tier of a frame with what models saw drawn into it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, get_args

import msgspec

from datamanager.errors import DatamanagerError, Refused
from datamanager.kinds.images.overlay import DRAWING, OverlayBox, OverlayMask, draw_overlay
from datamanager.playback.contents import Contents
from datamanager.playback.frame_tiers import FrameTierReader, TierBytes, TierElsewhere, TierImpossible, TierPending
from datamanager.playback.plain_json import plain as plain_json
from datamanager.playback.record_items import Tier
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.result_queries import ResultQueries
from datamanager.storage.s3 import S3

__all__ = ["OverlayReader", "TierWithOverlay", "parse_overlay"]

_MOST_RESULTS = 200
_MOST_PIXELS = 24_000_000  # of an original: what a child draws into within its time and memory
_MOST_CHARS = 200

Part = Literal["detections", "segments"]
_PARTS: tuple[Part, ...] = get_args(Part)


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
    masks: tuple[OverlayMask, ...]
    size: tuple[int, int] | None
    data: bytes | None


def parse_overlay(text: str) -> tuple[tuple[Part, str | None], ...]:
    """What is asked for, each with the rule whose results are; None stands for the newest of any rule.

    `detections`, `segments`, `detections:rule`, `segments:rule`, more than one with commas.

    Raises:
        Refused: `wrong_type` where it is none of these.
    """
    found: dict[tuple[Part, str | None], None] = {}
    for asked in text[: _MOST_CHARS + 1].split(","):
        name, colon, rule = asked.partition(":")
        part = next((part for part in _PARTS if part == name), None)
        if part is None or (colon and not rule) or len(text) > _MOST_CHARS:
            raise Refused("wrong_type", f"overlay {text[:64]!r} is none of detections, segments, and either with :rule")
        found[part, rule or None] = None
    return tuple(found)


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
        asked = parse_overlay(overlay)
        plain, found = await asyncio.gather(
            self._tier_reader.open(frame_id, tier), self._results.of_frame(frame_id, _MOST_RESULTS)
        )
        chosen = [(part, result) for part, rule in asked if (result := _newest(found, part, rule)) is not None]
        boxes = tuple(box for part, result in chosen if part == "detections" for box in _boxes(result))
        masks = tuple(mask for part, result in chosen if part == "segments" for mask in _masks(result))
        if not (boxes or masks) or isinstance(plain, TierPending):
            return plain
        shown = [[part, result["_id"], result.get("detections"), result.get("extra")] for part, result in chosen]
        name = msgspec.json.encode([DRAWING, frame_id, tier, plain_json(shown)])
        return TierWithOverlay(
            etag=f'"{blake2b(name, digest_size=16).hexdigest()}"',
            frame_id=frame_id,
            tier=tier,
            boxes=boxes,
            masks=masks,
            size=_size([result for _, result in chosen]),
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
            return await self._contents.call(
                draw_overlay, data, wanted.boxes, wanted.masks, wanted.size or _upright(frame)
            )
        except (Refused, MemoryError) as exc:
            why = exc.detail if isinstance(exc, DatamanagerError) else "it is too large"
            raise TierImpossible(
                f"nothing can be drawn into the {wanted.tier} of frame {wanted.frame_id!r}: {why}"
            ) from exc


def _newest(found: Sequence[Document], part: Part, rule: str | None) -> Document | None:
    """The result that was written last among those that have something to be drawn."""
    shown = [
        result
        for result in found
        if result["status"] == "ok" and (rule is None or result["enrichment"] == rule) and _has(result, part)
    ]
    return max(shown, key=lambda result: result["at_ns"], default=None)


def _has(result: Document, part: Part) -> bool:
    if part == "detections":
        return bool(result.get("detections"))
    extra = result.get("extra") or {}
    return bool(extra.get("masks") or extra.get("map"))


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


def _masks(result: Document) -> list[OverlayMask]:
    """A segmenter's masks, which come with boxes, or its map of class numbers (see `inference.tasks.masks`)."""
    extra = result["extra"]
    masks = []
    for mask, box in zip(extra.get("masks") or (), result.get("detections") or (), strict=False):
        runs = tuple((n % 2, int(length)) for n, length in enumerate(mask["runs"]))
        masks.append(OverlayMask(_grid(mask), runs, (int(box.get("class_id") or 0),)))
    if extra.get("map"):
        pairs = [(int(number), int(length)) for number, length in extra["map"]["runs"]]
        most = max(number for number, _ in pairs)
        # Of two classes the first is all that the other is not.
        shift = 0 if most <= 1 else 1
        numbers = tuple(range(1 - shift, most + 1))
        masks.append(OverlayMask(_grid(extra["map"]), tuple((n + shift, length) for n, length in pairs), numbers))
    return masks


def _grid(mask: Document) -> tuple[int, int]:
    height, width = mask["size"]
    return int(height), int(width)


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
