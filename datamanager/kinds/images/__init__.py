"""Kind `images`: pictures and point clouds, understood from their bytes without decoding them."""

from datamanager.kinds.images.info import Bounds, FormatName, ImageInfo, ImageLimits, Role
from datamanager.kinds.images.inspect import inspect_image, is_costly

__all__ = ["Bounds", "FormatName", "ImageInfo", "ImageLimits", "Role", "inspect_image", "is_costly"]
