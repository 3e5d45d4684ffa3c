"""How an upload is cut into parts, and how it is named. Pure functions."""

import hashlib
import re
import secrets

from datamanager.errors import Refused

__all__ = [
    "MAX_PARTS",
    "made_id",
    "parse_checksum",
    "part_count",
    "part_size",
    "part_span",
    "producer_of",
    "safe_ending",
]

MAX_PARTS = 10_000  # S3's limit
_STEP = 1024 * 1024
_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})\Z")
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,10}(?:\.(?:gz|bz2|xz|zst))?)\Z")


def part_size(size_bytes: int, part_bytes: int) -> int | None:
    """The size of each part but the last; None for what is put at once."""
    if size_bytes <= part_bytes:
        return None
    least = -(-size_bytes // MAX_PARTS)
    return max(part_bytes, -(-least // _STEP) * _STEP)


def part_count(size_bytes: int, size: int) -> int:
    """How many parts of `size` bytes there are."""
    return -(-size_bytes // size)


def part_span(number: int, size_bytes: int, size: int) -> tuple[int, int]:
    """Where part `number`, counted from 1, begins, and how many bytes it has."""
    offset = (number - 1) * size
    return offset, min(size, size_bytes - offset)


def made_id(robot_id: str, session_id: str, upload_key: str | None) -> str:
    """32 hex digits: always the same for a key of a session, and never the same again without a key."""
    if upload_key is None:
        return secrets.token_hex(16)
    name = f"{robot_id}\0{session_id}\0{upload_key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def producer_of(upload_id: str) -> str:
    """Who counts as the sender of the record: nobody else can bear a name with a `~`, so that its number 0 is its own."""
    return f"~{upload_id}"


def parse_checksum(text: str) -> str:
    """A SHA-256 in hex, small letters.

    Raises:
        Refused: `bad_payload`.
    """
    found = _CHECKSUM.match(text)
    if found is None:
        raise Refused("bad_payload", f"checksum {text[:80]!r} must be sha256: and 64 hex digits")
    return found[1].lower()


def safe_ending(name: str | None) -> str:
    """The end of the S3 key, by the file's name, as what is in it is not known before it has come."""
    found = _ENDING.search(name or "")
    return found[1].lower() if found else "bin"
