"""The 17 kinds, a row each: what is taken, what is extracted, where it is kept, what is derived, what playback gives.

Modules of kinds are loaded when they are first needed, so that a robot's client that sends samples loads no parser.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from datamanager.kinds.kind import Found, Hints, Kind, KindLimits
from datamanager.kinds.source import Source

__all__ = ["KIND_TABLE", "encode_value", "examine_content"]

_ROWS = (
    Kind("time_series", "samples, columnar batches", "channels, types, rate", "telemetry", gives=("range", "stats")),
    Kind("parameters", "nested maps, patches", "dotted keys, types", "records", gives=("parameters",), value=True,
         here_bytes=2 * 1024),
    Kind("images", "JPEG, PNG, WebP, TIFF, AVIF; PLY, PCD, Draco", "size, mode, role, points, bounds",
         "frames_metadata", derived=("tiers",), text_is_base64=True, here_bytes=None),
    Kind("video", "MP4, WebM, MKV, AVI; fragments of MP4 or H.264 in chunks", "codecs, fps, duration, size, keyframes",
         "frames_metadata", derived=("video_thumbnails", "video_hls"), gives=("thumbnails", "playlist.m3u8"),
         text_is_base64=True, here_bytes=8 * 1024),
    Kind("audio", "WAV, MP3, OGG, FLAC, M4A; raw samples in chunks", "codec, rate, channels, duration", "records",
         derived=("audio_preview",), gives=("waveform", "preview"), text_is_base64=True, here_bytes=16 * 1024),
    Kind("log", "lines, or {level, message, logger}", "level, logger, lines", "records", gives=("logs",), value=True),
    Kind("markdown", "text", "title, headings", "records", gives=("html",), here_bytes=2 * 1024),
    Kind("file", "anything", "MIME type, checksum", "records"),
    Kind("csv", "CSV, TSV, any delimiter, any encoding", "dialect, columns, types, rows", "records", gives=("rows",),
         here_bytes=0),
    Kind("safetensors", "files", "tensors: dtype, shape", "records", gives=("tensors",), here_bytes=8 * 1024),
    Kind("json", "documents (RFC 8259), or a value", "top-level shape", "records", gives=("json",), value=True,
         here_bytes=16 * 1024),
    Kind("yaml", "documents, one or several", "top-level shape, tags, aliases", "records", gives=("json",),
         here_bytes=1024),
    Kind("toml", "documents (v1.0.0)", "top-level shape", "records", gives=("json",), here_bytes=2 * 1024),
    Kind("msgpack", "any valid value", "top-level shape, ext types", "records", gives=("json",), value=True,
         here_bytes=None),
    Kind("vuer_msg", "MessagePack with $dtype or ztype", "tensors: path, dtype, shape", "records",
         gives=("json", "array"), value=True, here_bytes=None),
    Kind("zip", "archives", "members, sizes, methods", "records", gives=("members",), here_bytes=0),
    Kind("tar", "archives, also packed: gz, bz2, xz, zst", "members, sizes", "records", gives=("members",), here_bytes=0),
)  # fmt: skip
KIND_TABLE: Mapping[str, Kind] = {row.name: row for row in _ROWS}


def examine_content(kind: str, source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks content of a kind and says what it is: `examine` of the kind's module.

    Raises:
        Refused: the content is bad; see `KindModule.examine`.
    """
    examine: Callable[[Source, Hints, KindLimits], Found] = import_module(f"datamanager.kinds.{kind}").examine
    return examine(source, hints, limits)


def encode_value(kind: str, payload: Mapping[str, Any], limits: KindLimits) -> bytes:
    """The bytes that are kept of a message that holds a value rather than bytes: `encode` of the kind's module.

    Raises:
        Refused: the value cannot be kept.
    """
    encode: Callable[[Mapping[str, Any], KindLimits], bytes] = import_module(f"datamanager.kinds.{kind}").encode
    return encode(payload, limits)
