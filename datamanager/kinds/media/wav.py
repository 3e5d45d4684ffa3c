"""WAV files: RIFF, RF64 and BW64, of any codec."""

from datamanager.errors import Refused
from datamanager.kinds.media.riff import UNKNOWN_SIZES, walk_chunks
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.media.window import Window

__all__ = ["read_wav"]

_CODECS = {1: "pcm", 2: "adpcm_ms", 3: "pcm_float", 6: "alaw", 7: "mulaw", 17: "adpcm_ima", 85: "mp3", 255: "aac"}
_EXTENSIBLE = 0xFFFE
_UNPACKED = (1, 3, 6, 7)
_MOST_CHUNKS = 4096
_LEAST_FORMAT = 14


def read_wav(window: Window) -> Container:
    """Reads its chunks.

    Raises:
        Refused: `bad_payload`: it is cut off, or its format and sound are not both there.
    """
    head = window.take(0, 12, "the file")
    said = int.from_bytes(head[4:8], "little") + 8
    end, sizes = window.size, _large_sizes(window) if head[:4] != b"RIFF" else {}
    said = sizes.get(b"RIFF", said)
    if said - 8 not in UNKNOWN_SIZES and said > end + 1:  # the byte that makes the last chunk even may be missing
        raise Refused("bad_payload", f"it says that it has {said} bytes, of which {end} are there", offset=4)
    track: Track | None = None
    extra: dict[str, int] = {}
    sound: int | None = None
    for chunk in walk_chunks(window, 12, end if said - 8 in UNKNOWN_SIZES else min(said, end), _MOST_CHUNKS, sizes):
        if chunk.kind == b"fmt " and track is None:
            track, extra = _read_format(
                window.take(chunk.start, min(chunk.end - chunk.start, 40), "the format"), chunk.start
            )
        elif chunk.kind == b"data" and sound is None:
            sound = chunk.end - chunk.start
    if track is None or sound is None:
        missing = "format" if track is None else "sound"
        raise Refused("bad_payload", f"it has no chunk of its {missing}", offset=end)
    byte_rate = extra.pop("byte_rate")
    track.duration_s = sound / byte_rate if byte_rate else None
    return Container("wav", [track], track.duration_s, extra)


def _large_sizes(window: Window) -> dict[bytes, int]:
    """The sizes of a file whose own fields are too small for them: chunk `ds64`."""
    data = window.get(12, 24)
    if data[:4] != b"ds64" or len(data) < 24:
        return {}
    return {b"RIFF": int.from_bytes(data[8:16], "little") + 8, b"data": int.from_bytes(data[16:24], "little")}


def _read_format(data: bytes, offset: int) -> tuple[Track, dict[str, int]]:
    if len(data) < _LEAST_FORMAT:
        raise Refused("bad_payload", f"its format has {len(data)} bytes", offset=offset)
    code, channels = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
    rate, byte_rate = int.from_bytes(data[4:8], "little"), int.from_bytes(data[8:12], "little")
    block, bits = int.from_bytes(data[12:14], "little"), int.from_bytes(data[14:16], "little")
    if code == _EXTENSIBLE and len(data) >= 26:
        code = int.from_bytes(data[24:26], "little")
    if not channels or not rate:
        raise Refused("bad_payload", f"its format has {channels} channels and a rate of {rate}", offset=offset)
    if code in _UNPACKED:
        if bits and block != channels * ((bits + 7) // 8):
            detail = f"{channels} channels of {bits} bits do not take {block} bytes together"
            raise Refused("bad_payload", detail, offset=offset)
        byte_rate = rate * block
    track = Track("audio", _CODECS.get(code, f"0x{code:04x}"), rate=rate, channels=channels)
    return track, {"byte_rate": byte_rate} | ({"bits_per_sample": bits} if bits else {})
