"""Opening a picture whose header was checked, and turning every way to fail into one."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo

__all__ = ["open_picture", "refusing"]


@contextmanager
def refusing(info: ImageInfo) -> Iterator[None]:
    """What goes wrong within comes from the bytes: it leaves as `Refused`, but for a lack of memory.

    Raises:
        Refused: `bad_payload`.
    """
    try:
        yield
    except (Refused, MemoryError):
        raise
    except Exception as exc:  # decoders raise OSError, ValueError, SyntaxError, struct.error and more
        raise Refused("bad_payload", f"the {info.format} cannot be decoded: {exc}"[:300]) from exc


def open_picture(data: bytes, info: ImageInfo) -> Image.Image:
    """The picture, opened and not decoded yet, its size the one that was checked.

    Raises:
        Refused: `bad_payload` when it shows another size than the header that `info` was made from.
    """
    with refusing(info):
        image = Image.open(io.BytesIO(data), formats=[info.format.upper()])
    if image.size != (info.width, info.height):
        detail = f"the picture is {image.width} x {image.height} and not {info.width} x {info.height} as checked"
        raise Refused("bad_payload", detail)
    return image
