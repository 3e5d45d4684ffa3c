"""LZF, the compression of PCD's `binary_compressed` (liblzf by Marc Lehmann, lzf_d.c; as written by PCL)."""

from datamanager.errors import Refused

__all__ = ["MAX_RATIO", "unpack_lzf"]

MAX_RATIO = 88  # the longest copy, 264 bytes, takes 3


def unpack_lzf(packed: bytes, size: int) -> bytearray:
    """Unpacks LZF.

    A control byte below 32 is followed by that many literal bytes, plus one. Any other begins a copy from what was
    written before: its upper three bits are the length less two, 7 meaning that another byte adds to it; its lower five
    bits are the upper part of the distance less one, whose lower part is the next byte.

    Args:
        packed: the packed bytes.
        size: how many bytes they make; never more are written.

    Raises:
        Refused: `bad_payload` when they make more or fewer bytes, or end in the middle.
    """
    out = bytearray()
    at, end, made = 0, len(packed), 0
    try:
        while at < end and made <= size:
            control = packed[at]
            if control < 32:
                out += packed[at + 1 : at + control + 2]
                at += control + 2
                made += control + 1
                continue
            length = control >> 5
            if length == 7:
                at += 1
                length += packed[at]
            start = made - ((control & 31) << 8) - packed[at + 1] - 1
            at += 2
            length += 2
            if start < 0:
                raise Refused("bad_payload", "the packed points copy from before their beginning", offset=at)
            # What overlaps the bytes it makes is a pattern, repeated.
            out += out[start : start + length] if start + length <= made else _repeat(out[start:], length)
            made += length
    except IndexError as exc:
        raise Refused("bad_payload", "truncated: the packed points end within a copy", offset=at) from exc
    if made != size or len(out) != size or at != end:
        raise Refused("bad_payload", f"the packed points make {len(out)} bytes, not {size}", offset=at)
    return out


def _repeat(pattern: bytearray, length: int) -> bytearray:
    return (pattern * (length // len(pattern) + 1))[:length]
