"""What a tier is, and how large it may be."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["BOXES", "Tier", "TierName", "fit"]

TierName = Literal["preview", "thumbnail"]

# Largest width and height of each derived tier, in pixels.
BOXES: dict[TierName, tuple[int, int]] = {"preview": (640, 360), "thumbnail": (120, 68)}


@dataclass(frozen=True, slots=True)
class Tier:
    """One derived tier of a frame.

    Attributes:
        data: the encoded bytes.
        mime_type: what they are served as.
        extension: the ending of their key in S3, without a dot.
        width: pixels; None of a cloud.
        height: pixels; None of a cloud.
    """

    data: bytes
    mime_type: str
    extension: str
    width: int | None
    height: int | None


def fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size with the proportions of `size` inside `box`; never larger than `size`, no side under 1."""
    scale = min(box[0] / size[0], box[1] / size[1], 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
