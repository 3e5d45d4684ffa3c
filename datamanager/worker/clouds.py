"""The tiers of a point cloud: Draco of fewer points, and a drawing."""

from collections.abc import Sequence

import DracoPy
import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo
from datamanager.worker.cloud import Cloud, read_cloud
from datamanager.worker.decoding import refusing
from datamanager.worker.encoding import encode_picture
from datamanager.worker.render import draw_cloud
from datamanager.worker.thin import thin_cloud
from datamanager.worker.tier import BOXES, Tier, TierName

__all__ = ["PREVIEW_POINTS", "make_cloud_tiers"]

PREVIEW_POINTS = 50_000
_QUANTIZATION_BITS = 14
_COMPRESSION_LEVEL = 5


def make_cloud_tiers(data: bytes, info: ImageInfo, which: Sequence[TierName]) -> dict[TierName, Tier]:
    """The wanted tiers from one read of the points.

    Raises:
        Refused: `bad_payload` when the points cannot be read, or none of them is finite and a preview is wanted.
    """
    cloud = read_cloud(data, info)
    tiers: dict[TierName, Tier] = {}
    if "preview" in which:
        tiers["preview"] = _preview(cloud, info)
    if "thumbnail" in which:
        tiers["thumbnail"] = encode_picture(draw_cloud(cloud, BOXES["thumbnail"]), quality=88, sharp_colours=True)
    return tiers


def _preview(cloud: Cloud, info: ImageInfo) -> Tier:
    if len(cloud.xyz) == 0:
        raise Refused("bad_payload", "no point is finite: there is nothing to show")
    thin = thin_cloud(cloud, PREVIEW_POINTS)
    with refusing(info):
        data = DracoPy.encode(
            np.ascontiguousarray(thin.xyz, np.float32),
            colors=thin.rgb,
            quantization_bits=_QUANTIZATION_BITS,
            compression_level=_COMPRESSION_LEVEL,
        )
    return Tier(data, "application/x-draco", "drc", None, None)
