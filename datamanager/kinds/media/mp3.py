"""MP3 files (ISO/IEC 11172-3): frames that follow each other, and what a Xing, Info or VBRI frame says of them all."""

from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.media.window import Window

__all__ = ["find_sound", "read_mp3"]

_SEARCHED_BYTES = 256 * 1024  # for the first frame: files that were cut out of a stream begin with a part of one
_MOST_TRIES = 4000
_TAG_HEADER = 10
_MOST_TAGS = 16
_BITRATES = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYERS = {3: 1, 2: 2, 1: 3}


@dataclass(frozen=True, slots=True)
class _Frame:
    version: int
    layer: int
    rate: int
    channels: int
    kbit_s: int
    samples: int
    size: int


def find_sound(window: Window) -> int:
    """Where what follows the ID3v2 tags begins.

    Raises:
        Refused: `bad_payload`: a tag goes beyond the end.
    """
    offset = 0
    for _ in range(_MOST_TAGS):
        header = window.get(offset, _TAG_HEADER)
        if header[:3] != b"ID3" or len(header) < _TAG_HEADER:
            break
        size = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
        end = offset + _TAG_HEADER + size + (_TAG_HEADER if header[5] & 0x10 else 0)
        if end > window.size:
            detail = f"an ID3 tag has {end - offset} bytes, of which {window.size - offset} are there"
            raise Refused("bad_payload", detail, offset=offset)
        offset = end
    return offset


def read_mp3(window: Window, offset: int = 0) -> Container:
    """Reads the first frames.

    Args:
        window: the content.
        offset: where the tags end.

    Raises:
        Refused: `bad_payload`: no frames follow each other near the beginning.
    """
    at, frame = _first_frame(window, offset)
    frames = _declared_frames(window, at, frame)
    if frames is None:
        bytes_left = window.size - at
        duration_s = bytes_left * 8 / (frame.kbit_s * 1000)
    else:
        duration_s = frames * frame.samples / frame.rate
    track = Track("audio", f"mp{_LAYERS[frame.layer]}", rate=frame.rate, channels=frame.channels, duration_s=duration_s)
    return Container("mp3", [track], duration_s, {"kbit_s": frame.kbit_s, "estimated": True} if frames is None else {})


def _first_frame(window: Window, offset: int) -> tuple[int, _Frame]:
    data = window.get(offset, _SEARCHED_BYTES)
    at, tries = data.find(b"\xff"), 0
    while at >= 0 and tries < _MOST_TRIES:
        tries += 1
        frame = _parse(data[at : at + 4])
        if frame is not None:
            following = window.get(offset + at + frame.size, 4)
            other = _parse(following)
            same = other is not None and (other.version, other.layer, other.rate) == (
                frame.version,
                frame.layer,
                frame.rate,
            )
            if same or (at == 0 and offset + frame.size == window.size):
                return offset + at, frame
        at = data.find(b"\xff", at + 1)
    raise Refused("bad_payload", "no two frames of MP3 follow each other near its beginning", offset=offset)


def _parse(header: bytes) -> _Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, bitrate_index, padding = header[2] >> 2 & 3, header[2] >> 4, header[2] >> 1 & 1
    if version == 1 or layer == 0 or rate_index == 3 or bitrate_index in (0, 15):
        return None
    rate = _RATES[version][rate_index]
    kbit_s = _BITRATES[3 if version == 3 else 2, layer][bitrate_index]
    samples = 384 if layer == 3 else (576 if layer == 1 and version != 3 else 1152)
    slots = 4 if layer == 3 else 1
    size = (samples // (8 * slots) * kbit_s * 1000 // rate + padding) * slots
    return _Frame(version, layer, rate, 1 if header[3] >> 6 == 3 else 2, kbit_s, samples, size)


def _declared_frames(window: Window, at: int, frame: _Frame) -> int | None:
    side = (17 if frame.channels == 1 else 32) if frame.version == 3 else (9 if frame.channels == 1 else 17)
    data = window.get(at, 64)
    if data[4 + side : 8 + side] in (b"Xing", b"Info") and len(data) >= side + 16:
        has_frames = data[11 + side] & 1
        return int.from_bytes(data[12 + side : 16 + side]) if has_frames else None
    if data[36:40] == b"VBRI" and len(data) >= 54:
        return int.from_bytes(data[50:54])
    return None
