"""Decoded frames as JPEG."""

import io
from dataclasses import dataclass

from av.video.frame import VideoFrame
from PIL import Image

__all__ = ["Picture", "encode_jpeg", "is_whole_jpeg"]

_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame that waits to be sent.

    Attributes:
        t_ns: when it was taken.
        arrived_s: when it came, by a clock that never runs backwards.
        image: decoded, or a JPEG as it came.
    """

    t_ns: int
    arrived_s: float
    image: VideoFrame | bytes

    @property
    def nbytes(self) -> int:
        """How large it is in memory."""
        if isinstance(self.image, bytes):
            return len(self.image)
        return sum(plane.buffer_size for plane in self.image.planes)


def encode_jpeg(frame: VideoFrame, quality: int) -> bytes:
    """A frame as JPEG, upright.

    Args:
        frame: of any size and format.
        quality: 1 to 95.
    """
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV says no types here
    turn = _TURNS.get(frame.rotation % 360)
    if turn is not None:
        image = image.transpose(turn)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def is_whole_jpeg(data: bytes) -> bool:
    """Whether bytes are a JPEG that stands by itself: with its beginning, its end, and its own Huffman tables."""
    return data.startswith(b"\xff\xd8\xff") and data.rstrip(b"\0").endswith(b"\xff\xd9") and b"\xff\xc4" in data
