"""Writes fragments of MP4 as HLS takes them (ISO/IEC 14496-12, 14496-14 and 14496-15; RFC 8216, section 3.3).

Written by hand, so that every fragment bears its own time, wherever work was begun again, and one made of a robot's
own H.264 is no different from one that was encoded here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from datamanager.kinds.media.sps import Sps

__all__ = [
    "AUDIO_RATE",
    "TICKS_PER_S",
    "AudioForm",
    "Piece",
    "Run",
    "Segment",
    "VideoForm",
    "init_segment",
    "media_segment",
]

TICKS_PER_S = 90_000
"""Of pictures."""
AUDIO_RATE = 48_000
_VIDEO, _AUDIO = 1, 2
_IS_KEYFRAME, _IS_NO_KEYFRAME = 0x02000000, 0x01010000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_HIGH = frozenset({100, 110, 122, 244, 144})


@dataclass(frozen=True, slots=True)
class VideoForm:
    """What a decoder of H.264 has to know first: its parameter sets, without start codes."""

    sps: bytes
    pps: bytes
    known: Sps


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What a decoder of AAC has to know first: its AudioSpecificConfig."""

    channels: int
    config: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One picture, or one packet of sound; `ticks` of its track's clock long."""

    data: bytes
    ticks: int
    is_key: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """Pieces that follow each other, from `start` on, in ticks."""

    start: int
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment, in ticks of 1/90,000 s from the beginning of the video."""

    start: int
    ticks: int
    data: bytes


def init_segment(video: VideoForm, audio: AudioForm | None) -> bytes:
    """The segment that a player needs before all others."""
    tracks, defaults = [_track(_VIDEO, TICKS_PER_S, _video_media(video), video)], [_defaults(_VIDEO)]
    if audio is not None:
        tracks.append(_track(_AUDIO, AUDIO_RATE, _audio_media(audio), None))
        defaults.append(_defaults(_AUDIO))
    header = struct.pack(">IIIIIH10x", 0, 0, 1000, 0, 0x10000, 0x100) + _MATRIX + bytes(24) + struct.pack(">I", 3)
    moov = _box(b"moov", _full(b"mvhd", 0, 0, header), *tracks, _box(b"mvex", *defaults))
    return _box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6mp41") + moov


def media_segment(number: int, video: Run, audio: Run | None) -> bytes:
    """One segment: pictures, and the sound that belongs to them."""
    runs = [(_VIDEO, video)] + ([(_AUDIO, audio)] if audio is not None and audio.pieces else [])
    sizes = [sum(len(piece.data) for piece in run.pieces) for _, run in runs]
    offset = len(_moof(number, runs, [0] * len(runs))) + 8
    offsets = [offset + sum(sizes[:i]) for i in range(len(runs))]
    data = [piece.data for _, run in runs for piece in run.pieces]
    return (
        _box(b"styp", b"msdh", struct.pack(">I", 0), b"msdhmsix") + _moof(number, runs, offsets) + _box(b"mdat", *data)
    )


def _moof(number: int, runs: Sequence[tuple[int, Run]], offsets: Sequence[int]) -> bytes:
    trafs = [_traf(track, run, offset) for (track, run), offset in zip(runs, offsets, strict=True)]
    return _box(b"moof", _full(b"mfhd", 0, 0, struct.pack(">I", number)), *trafs)


def _traf(track: int, run: Run, offset: int) -> bytes:
    rows = [
        struct.pack(">III", p.ticks, len(p.data), _IS_KEYFRAME if p.is_key else _IS_NO_KEYFRAME) for p in run.pieces
    ]
    head = struct.pack(">Ii", len(run.pieces), offset)
    return _box(
        b"traf",
        _full(b"tfhd", 0, 0x020000, struct.pack(">I", track)),  # offsets count from the fragment's own beginning
        _full(b"tfdt", 1, 0, struct.pack(">Q", run.start)),
        _full(b"trun", 0, 0x000701, head, *rows),
    )


def _defaults(track: int) -> bytes:
    return _full(b"trex", 0, 0, struct.pack(">5I", track, 1, 0, 0, 0))


def _track(number: int, timescale: int, media: tuple[bytes, bytes, bytes], video: VideoForm | None) -> bytes:
    handler, header, entry = media
    width, height = (video.known.width, video.known.height) if video else (0, 0)
    tkhd = struct.pack(">IIIII8xHHHH", 0, 0, number, 0, 0, 0, 0, 0 if video else 0x100, 0)
    tkhd += _MATRIX + struct.pack(">II", width << 16, height << 16)
    empty = [_full(kind, 0, 0, struct.pack(">I", 0)) for kind in (b"stts", b"stsc", b"stco")]
    table = _box(
        b"stbl",
        _full(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        *empty,
        _full(b"stsz", 0, 0, struct.pack(">II", 0, 0)),
    )
    references = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
    mdia = _box(
        b"mdia",
        _full(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, timescale, 0, 0x55C4, 0)),
        _full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), b"\0"),
        _box(b"minf", header, references, table),
    )
    return _box(b"trak", _full(b"tkhd", 0, 3, tkhd), mdia)


def _video_media(video: VideoForm) -> tuple[bytes, bytes, bytes]:
    sps, known = video.sps, video.known
    avcc = b"\1" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps
    avcc += b"\1" + struct.pack(">H", len(video.pps)) + video.pps
    if sps[1] in _HIGH:
        avcc += bytes([0xFC | known.chroma, 0xF8 | known.luma_bits - 8, 0xF8 | known.chroma_bits - 8, 0])
    form = struct.pack(">6xH16xHHIIIH32xHh", 1, known.width, known.height, 0x480000, 0x480000, 0, 1, 24, -1)
    return b"vide", _full(b"vmhd", 0, 1, bytes(8)), _box(b"avc1", form, _box(b"avcC", avcc))


def _audio_media(audio: AudioForm) -> tuple[bytes, bytes, bytes]:
    config = _descriptor(5, audio.config)
    decoder = _descriptor(4, struct.pack(">BB3xII", 0x40, 0x15, 128_000, 128_000), config)
    esds = _full(b"esds", 0, 0, _descriptor(3, struct.pack(">HB", _AUDIO, 0), decoder, _descriptor(6, b"\2")))
    form = struct.pack(">6xH8xHHHHI", 1, audio.channels, 16, 0, 0, AUDIO_RATE << 16)
    return b"soun", _full(b"smhd", 0, 0, bytes(4)), _box(b"mp4a", form, esds)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">BB", tag, len(body)) + body


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
