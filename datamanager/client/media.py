"""Pictures and point clouds as payloads of kind `images`."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.client.png import encode_png
from datamanager.errors import Refused

__all__ = ["image_payload", "sniff_format"]

_CLOUDS = frozenset({"ply", "pcd", "draco"})
_MAGICS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"ply\n", "ply"),
    (b"ply\r\n", "ply"),
    (b"# .PCD", "pcd"),
    (b"VERSION ", "pcd"),
    (b"DRACO", "draco"),
)


def sniff_format(data: bytes) -> str | None:
    """The format of an image or point cloud by its first bytes; None when it is none that is known."""
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return None


def image_payload(
    image: str | Path | bytes | npt.NDArray[Any],
    role: str | None,
    format: str | None,  # noqa: A002 - the field's name on the wire
) -> dict[str, Any]:
    """The payload of a frame, but for its number and camera: `format`, `data`, `role` where it is known.

    Raises:
        Refused: `bad_payload`: an array that cannot be encoded, or bytes of no known format while none is named.
        OSError: the file cannot be read.
    """
    if isinstance(image, np.ndarray):
        if format not in (None, "png"):
            raise Refused("bad_payload", f"an array is sent as png; encode it as {format} yourself and log the bytes")
        data, format = encode_png(image), "png"  # noqa: A001 - as above
        role = role or ("depth" if image.dtype == np.uint16 else "rgb")
    else:
        data = Path(image).read_bytes() if isinstance(image, str | Path) else bytes(image)
        format = format or sniff_format(data)  # noqa: A001 - as above
    if format is None:
        raise Refused("bad_payload", f"bytes of no known image format, beginning with {data[:12]!r}: name the format")
    payload: dict[str, Any] = {"format": format, "data": data}
    if role is None and format in _CLOUDS:
        role = "pointcloud"
    return payload if role is None else {**payload, "role": role}
