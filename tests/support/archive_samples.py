"""Small archives, good and hostile, made field by field where no tool would make them."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

__all__ = ["PACKERS", "tar_of", "tar_with", "zip_of", "zip_with"]

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}
_DATE = (2024, 2, 3, 4, 5, 6)


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **options: Any) -> bytes:
    """A zip as Python makes it."""
    with zipfile.ZipFile(out := io.BytesIO(), "w", method, **options) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else method
            archive.writestr(info, data)
    return out.getvalue()


def zip_with(
    data: bytes = b"content",
    name: bytes = b"a.txt",
    *,
    local: dict[str, Any] | None = None,
    central: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
    names: list[bytes] | None = None,
) -> bytes:
    """A zip of stored members with the same content, of which any field says what it is told to."""
    body = directory = b""
    for each in names or [name]:
        fields: dict[str, Any] = {
            "flags": 0, "method": 0, "crc": zlib.crc32(data), "packed": len(data), "size": len(data), "name": each,
            "extra": b"", "system": 3, "outside": 0, "offset": len(body), "disk": 0,
        }  # fmt: skip
        here = fields | (local or {})
        there = fields | (central or {})
        body += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, here["flags"], here["method"], 0, 33, here["crc"], here["packed"], here["size"],
            len(here["name"]), len(here["extra"]),
        ) + here["name"] + here["extra"] + data  # fmt: skip
        directory += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, there["system"], 20, 0, there["flags"], there["method"], 0, 33, there["crc"],
            there["packed"], there["size"], len(there["name"]), len(there["extra"]), 0, there["disk"], 0, there["outside"],
            there["offset"],
        ) + there["name"] + there["extra"]  # fmt: skip
    count = len(names or [name])
    last = {"disk": 0, "here": count, "count": count, "size": len(directory), "offset": len(body), "comment": 0}
    last |= end or {}
    return body + directory + struct.pack(
        "<4s4H2LH", b"PK\5\6", last["disk"], 0, last["here"], last["count"], last["size"], last["offset"], last["comment"]
    )  # fmt: skip


def tar_of(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar as Python makes it."""
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.mtime = 1_706_933_106
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_with(name: bytes = b"a.txt", data: bytes = b"content", *, end: bool = True, **fields: bytes) -> bytes:
    """A tar of one member, of which any field says what it is told to; its checksum fits."""
    fields = {"size": b"%011o" % len(data), "type": b"0", "link": b"", "magic": b"ustar\x0000", "tail": b""} | fields
    block = (
        name.ljust(100, b"\0") + b"0000644\0" * 3 + fields["size"].ljust(12, b"\0") + b"14557335062\0" + b" " * 8
        + fields["type"] + fields["link"].ljust(100, b"\0") + fields["magic"]
    )  # fmt: skip
    block = block.ljust(345, b"\0") + fields["tail"]
    block = block.ljust(512, b"\0")
    block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    return block + data + bytes(-len(data) % 512) + (bytes(1024) if end else b"")
