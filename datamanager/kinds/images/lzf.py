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
    at, end = 0, len(packed)
    try:
        while at < end:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
            else:
                length = control >> 5
                if length == 7:
                    length += packed[at]
                    at += 1
                start = len(out) - ((control & 31) << 8) - packed[at] - 1
                at += 1
                _copy(out, start, length + 2)
            if len(out) > size:
                break
    except IndexError as exc:
        raise Refused("bad_payload", "truncated: the packed points end within a copy", offset=at) from exc
    if len(out) != size or at != end:
        raise Refused("bad_payload", f"the packed points make {len(out)} bytes, not {size}", offset=at)
    return out


def _copy(out: bytearray, start: int, length: int) -> None:
    if start < 0:
        raise Refused("bad_payload", "the packed points copy from before their beginning")
    piece = out[start : start + length]
    if len(piece) < length:  # it overlaps what it writes: a pattern, repeated
        piece = (piece * (length // len(piece) + 1))[:length]
    out += piece
