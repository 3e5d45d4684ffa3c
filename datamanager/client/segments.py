"""The spool's files: append-only, every record checked.

A file is a header record and any number of message records; a record is

    2 bytes   magic 'dm'
    4 bytes   length of the body, little-endian
    4 bytes   CRC-32 of the body, little-endian
    body      MessagePack: the header {"next": {stream: place}}, a message [stream, place, samples, bytes]

A record torn by a crash, or spoilt on the disk, is passed over up to the next whole one.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

__all__ = ["Header", "Record", "encode_record", "read_header", "read_records", "write_header"]

_MAGIC = b"dm"
_FRAME = struct.Struct("<2sII")
FRAME_BYTES = _FRAME.size


class Header(msgspec.Struct):
    """What stands first in a file: the place of each stream's next message when the file was begun."""

    next: dict[str, int]


class Record(msgspec.Struct, array_like=True):
    """One message."""

    stream: str
    place: int
    samples: int
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(Header)
_record_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record | Header) -> tuple[bytes, bytes]:
    """A record's frame and its body, to be written one after the other."""
    body = _encoder.encode(record)
    return _FRAME.pack(_MAGIC, len(body), zlib.crc32(body)), body


def write_header(path: Path, next_place: dict[str, int]) -> int:
    """Begins a file, whole or not at all, and returns its size. It is on the disk when this returns.

    Raises:
        OSError: no room, no right.
    """
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        size = file.write(b"".join(encode_record(Header(next_place))))
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync_folder(path.parent)
    return size


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder last."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_header(data: bytes) -> tuple[Header, int] | None:
    """A file's header and the offset behind it; None where it is no spool file."""
    body = _body_at(data, 0)
    if body is None:
        return None
    try:
        return _header_decoder.decode(body), FRAME_BYTES + len(body)
    except msgspec.MsgspecError:
        return None


def read_records(data: bytes, offset: int) -> Iterator[tuple[Record, int]]:
    """The whole records from an offset on, each with the offset behind it; what is torn or spoilt is passed over."""
    while offset < len(data):
        body = _body_at(data, offset)
        if body is None:
            offset = _next_magic(data, offset + 1)
            continue
        offset += FRAME_BYTES + len(body)
        try:
            yield _record_decoder.decode(body), offset
        except msgspec.MsgspecError:
            continue  # a whole record of another version: passed over like a spoilt one


def _next_magic(data: bytes, offset: int) -> int:
    found = data.find(_MAGIC, offset)
    return len(data) if found < 0 else found


def _body_at(data: bytes, offset: int) -> bytes | None:
    if offset + FRAME_BYTES > len(data):
        return None
    magic, length, crc = _FRAME.unpack_from(data, offset)
    if magic != _MAGIC or offset + FRAME_BYTES + length > len(data):
        return None
    body = data[offset + FRAME_BYTES : offset + FRAME_BYTES + length]
    return body if zlib.crc32(body) == crc else None
