"""Chunks of RIFF files (WAV, AVI), and of RF64, which has 64 bits for sizes (EBU Tech 3306)."""

from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.window import Window

__all__ = ["UNKNOWN_SIZES", "Chunk", "walk_chunks"]

UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what writers put that could not go back: the size is what there is
_HEADER = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk.

    Attributes:
        kind: its four characters.
        offset: where its header begins.
        start: where its content begins.
        end: where its content ends; a byte may follow that makes it even.
    """

    kind: bytes
    offset: int
    start: int
    end: int


def walk_chunks(
    window: Window, start: int, end: int, most: int, sizes: dict[bytes, int] | None = None
) -> Iterator[Chunk]:
    """The chunks from `start` to `end`, in their order; `most` of them at most.

    Args:
        window: the content.
        start: where the first begins.
        end: where the last has to end.
        most: how many are looked at.
        sizes: sizes that stand elsewhere, by kind, for chunks whose own size is unknown.

    Raises:
        Refused: `bad_payload`: a chunk goes beyond the end.
    """
    offset = start
    for _ in range(most):
        if end - offset < _HEADER:
            return
        header = window.take(offset, _HEADER, "a chunk")
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        begin = offset + _HEADER
        if size == UNKNOWN_SIZES[1] or (size == 0 and kind == b"data"):
            size = (sizes or {}).get(kind, end - begin)
        if begin + size > end:
            name = kind.decode("latin-1").encode("unicode_escape").decode()
            detail = f"chunk {name!r} has {size} bytes, of which {end - begin} are there"
            raise Refused("bad_payload", detail, offset=offset)
        yield Chunk(kind, offset, begin, begin + size)
        offset = begin + size + size % 2
