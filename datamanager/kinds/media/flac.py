"""FLAC files (RFC 9639): the stream's information, and that all blocks before the sound are there."""

from datamanager.errors import Refused
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.media.window import Window

__all__ = ["read_flac"]

_MOST_BLOCKS = 1024
_INFO_BYTES = 34


def read_flac(window: Window, offset: int = 0) -> Container:
    """Reads the blocks before the sound.

    Args:
        window: the content.
        offset: where `fLaC` stands: something may come before it.

    Raises:
        Refused: `bad_payload`: it is cut off, or its first block is not the stream's information.
    """
    window.take(offset, 4, "the file")
    at, info = offset + 4, b""
    for number in range(_MOST_BLOCKS):
        header = window.take(at, 4, "a block's header")
        size, kind = int.from_bytes(header[1:]), header[0] & 0x7F
        if number == 0:
            if kind != 0 or size != _INFO_BYTES:
                raise Refused("bad_payload", "its first block is not the stream's information", offset=at)
            info = window.take(at + 4, size, "the stream's information")
        if at + 4 + size > window.size:
            raise Refused("bad_payload", f"a block of {size} bytes goes beyond the end", offset=at)
        at += 4 + size
        if header[0] & 0x80:
            break
    else:
        raise Refused("too_large", f"it has more than {_MOST_BLOCKS} blocks before its sound", offset=at)
    return _of(info, window, at)


def _of(info: bytes, window: Window, at: int) -> Container:
    bits = int.from_bytes(info[10:18])
    rate, channels, samples = bits >> 44, (bits >> 41 & 7) + 1, bits & 0xFFFFFFFFF
    if not 0 < rate <= 1_048_575:
        raise Refused("bad_payload", f"its sample rate is {rate}", offset=8 + 10)
    frame = window.get(at, 2)
    if frame and (len(frame) < 2 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8):
        raise Refused("bad_payload", "no frame of sound begins where one has to", offset=at)
    if not frame and samples:
        raise Refused("bad_payload", f"it says that it has {samples} samples, and ends before the first", offset=at)
    duration_s = samples / rate if samples else None
    track = Track("audio", "flac", rate=rate, channels=channels, duration_s=duration_s)
    return Container("flac", [track], duration_s, {"bits_per_sample": (bits >> 36 & 31) + 1})
