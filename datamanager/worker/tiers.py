"""The derived tiers of a frame: preview and thumbnail, from its bytes.

Pure: bytes in, bytes out. A picture keeps its proportions inside its box and is never enlarged; its EXIF orientation is
followed. It takes memory for its decoded pixels, which `inspect_image` has bounded, and little more.
"""

from collections.abc import Sequence

from datamanager.kinds.images import ImageInfo
from datamanager.worker.clouds import make_cloud_tiers
from datamanager.worker.depth import make_depth_tiers
from datamanager.worker.pictures import make_picture_tiers
from datamanager.worker.tier import BOXES, Tier, TierName

__all__ = ["BOXES", "Tier", "TierName", "make_preview", "make_thumbnail", "make_tiers"]

_ONE_CHANNEL = frozenset({"1", "L", "I;16", "I", "F"})


def make_tiers(
    data: bytes, info: ImageInfo, which: Sequence[TierName] = ("preview", "thumbnail")
) -> dict[TierName, Tier]:
    """The wanted tiers, from one decode.

    A colour or grey picture becomes a JPEG, or a WebP where something in it is transparent; depth is coloured between
    its near and its far; a cloud's preview is Draco of at most 50,000 points, its thumbnail a drawing.

    Args:
        data: the frame's bytes.
        info: what `inspect_image` said of the same bytes.
        which: the tiers that are wanted.

    Raises:
        Refused: `bad_payload` when the structure was good and the content is not, `unsafe_content` when decoding takes
            more than it may have.
    """
    if info.role == "pointcloud":
        return make_cloud_tiers(data, info, which)
    if info.role == "depth" and info.mode in _ONE_CHANNEL:  # what came as colours is shown in its own
        return make_depth_tiers(data, info, which)
    return make_picture_tiers(data, info, which)


def make_preview(data: bytes, info: ImageInfo) -> Tier:
    """The tier of at most 640 x 360 pixels; of a cloud, Draco.

    Raises:
        Refused: as `make_tiers`.
    """
    return make_tiers(data, info, ("preview",))["preview"]


def make_thumbnail(data: bytes, info: ImageInfo) -> Tier:
    """The tier of at most 120 x 68 pixels.

    Raises:
        Refused: as `make_tiers`.
    """
    return make_tiers(data, info, ("thumbnail",))["thumbnail"]
