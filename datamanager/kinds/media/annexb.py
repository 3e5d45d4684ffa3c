"""H.264 as a stream of NAL units with start codes (ITU-T H.264, annex B): units, pictures, keyframes."""

from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.sps import Sps, read_sps
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.source import Source

__all__ = ["SLICE_TYPES", "Nal", "begins_picture", "nals", "read_annexb"]

SLICE_TYPES = (1, 2, 5)
_KEYFRAME, _SPS, _PPS = 5, 7, 8
_HEVC_FIRST = (0x40, 0x42, 0x44)  # VPS, SPS, PPS of H.265, whose headers have two bytes
_MOST_NALS = 100_000
_LOOKED_AT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Nal:
    """One unit; `data` begins with its header and has no start code."""

    offset: int
    data: bytes

    @property
    def kind(self) -> int:
        """Its type: 1 a picture, 5 a keyframe, 7 and 8 parameters."""
        return self.data[0] & 31


def nals(data: bytes, most: int = _MOST_NALS) -> Iterator[Nal]:
    """The units of a stream that begins with a start code.

    Raises:
        Refused: `too_large`: there are more than `most`.
    """
    start = data.find(b"\0\0\1")
    for _ in range(most):
        if start < 0:
            return
        start += 3
        following = data.find(b"\0\0\1", start)
        unit = data[start : following if following >= 0 else len(data)].rstrip(b"\0")
        if unit:
            yield Nal(start, unit)
        start = following
    if start >= 0:
        raise Refused("too_large", f"it has more than {most} NAL units", offset=start)


def begins_picture(nal: Nal) -> bool:
    """Whether a unit is the first slice of a picture: its first macroblock is number 0."""
    return nal.kind in SLICE_TYPES and len(nal.data) > 1 and bool(nal.data[1] & 0x80)


def read_annexb(source: Source) -> Container:
    """What a stream holds, of which a beginning of 16 MB is looked at.

    Raises:
        Refused: `bad_payload`: it holds no pictures and no parameters; `kind_mismatch`: it is H.265.
    """
    container = Container("h264")
    track = Track("video", "h264", frames=0, keyframes=0)
    found: Sps | None = None
    has_parameters = False
    for nal in nals(source.read(0, _LOOKED_AT_BYTES)):
        if not container.tracks and nal.data[0] in _HEVC_FIRST and len(nal.data) > 1 and nal.data[1] == 1:
            raise Refused("kind_mismatch", "the content is an H.265 stream; H.264 is taken", offset=nal.offset)
        if nal.data[0] & 0x80:
            raise Refused("bad_payload", "a NAL unit has a header that no unit may have", offset=nal.offset)
        container.tracks = [track]
        if nal.kind == _SPS and found is None:
            found = _read_sps(nal)
        has_parameters = has_parameters or nal.kind == _PPS
        if begins_picture(nal):
            track.frames = (track.frames or 0) + 1
            track.keyframes = (track.keyframes or 0) + (nal.kind == _KEYFRAME)
    if not track.frames and not found:
        raise Refused("bad_payload", "it holds no pictures and no parameters of any", offset=0)
    if found is not None:
        track.width, track.height, track.fps = found.width, found.height, found.fps
        container.extra["codec_string"] = found.codec
    container.extra["parameter_sets"] = found is not None and has_parameters
    if found and found.fps and track.frames and source.size <= _LOOKED_AT_BYTES:
        track.duration_s = track.frames / found.fps
    return container


def _read_sps(nal: Nal) -> Sps:
    try:
        return read_sps(nal.data)
    except Refused as refused:
        raise Refused("bad_payload", refused.detail, offset=nal.offset) from refused
