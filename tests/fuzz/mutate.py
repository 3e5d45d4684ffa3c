"""Changes bytes at random, in the ways that parsers trip over."""

from random import Random

__all__ = ["mutate"]

_MAX_BYTES = 1 << 20
_MAX_CHANGES = 6
_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_TOKENS = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]",
    b":", b",", b"- ", b"? ", b"&a ", b"*a", b"<<: *a", b"!t ", b"%YAML 1.2\n", b"---\n", b"...\n", b"|\n", b"'", b"\t", b"\r\n",
    b"#", b"=", b"[[a]]\n", b"a.b.c=1\n", b"'''", b'"""', b"1e999", b"NaN", b"-", b"$dtype", b"ztype", b"shape", b"\xc1",
    b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\xff", b"PK\x03\x04",
    b"PK\x05\x06", b"../", b"<script>", b"\x1f\x8b\x08", b"\xff\xd8\xff", b"RIFF", b"moov", b"mdat",
)  # fmt: skip


def mutate(random: Random, data: bytes, other: bytes) -> bytes:
    """The data with a few changes.

    Args:
        random: decides which.
        data: what to change.
        other: what parts may be taken from.
    """
    changed = bytearray(data)
    for _ in range(random.randint(1, _MAX_CHANGES)):
        random.choice(_CHANGES)(random, changed, other)
    return bytes(changed[:_MAX_BYTES])


def _place(random: Random, data: bytearray) -> int:
    return random.randrange(len(data) + 1)


def _piece(random: Random, data: bytes | bytearray) -> bytes:
    start = random.randrange(len(data) + 1)
    return bytes(data[start : start + random.choice((1, 2, 4, 16, 256, 65536))])


def _flip(random: Random, data: bytearray, _: bytes) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray, _: bytes) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _number(random: Random, data: bytearray, _: bytes) -> None:
    width = random.choice((1, 2, 4, 8))
    number = random.choice(_NUMBERS) & ((1 << 8 * width) - 1)
    at = _place(random, data)
    data[at : at + width] = number.to_bytes(width, random.choice(("big", "little")))


def _cut(random: Random, data: bytearray, _: bytes) -> None:
    at = _place(random, data)
    del data[at : at + random.choice((1, 2, 4, 16, 256))]


def _end(random: Random, data: bytearray, _: bytes) -> None:
    del data[_place(random, data) :]


def _token(random: Random, data: bytearray, _: bytes) -> None:
    at = _place(random, data)
    data[at:at] = random.choice(_TOKENS) * random.choice((1, 1, 1, 2, 70, 1100))


def _repeat(random: Random, data: bytearray, _: bytes) -> None:
    at = _place(random, data)
    data[at:at] = _piece(random, data) * random.choice((1, 1, 2, 100))


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    at = _place(random, data)
    piece = _piece(random, other)
    data[at : at + random.choice((0, len(piece)))] = piece


_CHANGES = (_flip, _flip, _set, _number, _number, _cut, _end, _token, _token, _repeat, _splice)
