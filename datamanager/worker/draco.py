"""Decoding Draco without letting a file of 200 bytes take all memory."""

import struct
import subprocess
import sys
from typing import Any

import DracoPy
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.images import ImageLimits
from datamanager.kinds.images.formats.draco import MAX_ROOM, read_header

__all__ = ["COUNTS", "decode_draco", "points_of"]

Points = npt.NDArray[np.float32]
Colours = npt.NDArray[np.uint8]

COUNTS = struct.Struct("<QQ")  # what the child answers first: points, coloured points
_MAX_POINTS = 2**31 - 1
_CHILD = "datamanager.worker.draco_child"
_CHILD_TIMEOUT_S = 30.0


def decode_draco(data: bytes, points: int | None) -> tuple[Points, Colours | None]:
    """The points and, where there are any, their colours.

    A modest cloud is decoded here. What can't be bounded by its header, a mesh or a large cloud, is decoded by a child
    process whose memory and time are limited: the decoder makes room for whatever a file claims.

    Args:
        data: the file.
        points: how many it was found to have; None when that is not known.

    Returns:
        Shapes (n, 3) float32 and (n, 3) uint8.

    Raises:
        Refused: `bad_payload` when it cannot be decoded, `unsafe_content` when it takes more than the child may have.
    """
    header = read_header(data, ImageLimits(max_pixels=0, max_points=_MAX_POINTS if points is None else points))
    if header.room is not None and header.room <= MAX_ROOM:
        return points_of(DracoPy.decode(data))
    return _decode_in_child(data)


def points_of(decoded: Any) -> tuple[Points, Colours | None]:
    """The arrays of what DracoPy gives."""
    xyz = np.ascontiguousarray(decoded.points, np.float32).reshape(-1, 3)
    colours = getattr(decoded, "colors", None)
    if colours is None or colours.dtype != np.uint8 or colours.ndim != 2 or colours.shape[1] < 3:
        return xyz, None
    return xyz, np.ascontiguousarray(colours[:, :3])


def _decode_in_child(data: bytes) -> tuple[Points, Colours | None]:
    command = [sys.executable, "-m", _CHILD]
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module; the file goes in as data
            command, input=data, capture_output=True, timeout=_CHILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise Refused("unsafe_content", f"decoding takes more than {_CHILD_TIMEOUT_S:.0f} s") from exc
    if done.returncode < 0:
        raise Refused("unsafe_content", f"decoding takes more than it may have (signal {-done.returncode})")
    if done.returncode != 0 or len(done.stdout) < COUNTS.size:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Refused("bad_payload", f"the points cannot be decoded: {said}"[:300])
    points, coloured = COUNTS.unpack_from(done.stdout)
    xyz = np.frombuffer(done.stdout, np.float32, points * 3, COUNTS.size).reshape(-1, 3)
    if coloured == 0:
        return xyz, None
    return xyz, np.frombuffer(done.stdout, np.uint8, points * 3, COUNTS.size + points * 12).reshape(-1, 3)
