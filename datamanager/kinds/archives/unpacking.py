"""Unpacking streams, never more at a time than is asked for: deflate, gzip, bzip2, xz, LZMA and Zstandard."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import zstandard

from datamanager.errors import Refused

__all__ = ["FLOOR_BYTES", "PACKINGS", "RatioUnpacker", "Unpacker", "packing_of"]

FLOOR_BYTES = 16 * 1024 * 1024
"""What unpacks to less is harmless, whatever its ratio."""

_OUT_BYTES = 256 * 1024
_MEMORY_BYTES = 128 * 1024 * 1024  # xz -9 takes 65 MiB, zstd --long 128 MiB
_ZSTD_IN_BYTES = 512  # its calls have no bound on what they give: at the most 32,768 bytes for each one that goes in

_STARTS = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0", "zst": b"\x28\xb5\x2f\xfd"}
_ZSTD_SKIPPABLE = range(0x184D2A50, 0x184D2A60)

PACKINGS = tuple(_STARTS)


def packing_of(head: bytes) -> str | None:
    """Which of `PACKINGS` content begins as; None for none."""
    for packing, start in _STARTS.items():
        if head.startswith(start):
            return packing
    is_skippable = len(head) >= 4 and int.from_bytes(head[:4], "little") in _ZSTD_SKIPPABLE
    return "zst" if is_skippable else None


class _Decompressor(Protocol):
    """What the decompressors of the standard library are like, but for zlib's."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zlib:
    """zlib's, made like the others."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))


class _Zstd:
    """Zstandard's, made like the others; frames that are to be skipped are empty."""

    def __init__(self) -> None:
        self._inner: Any = zstandard.ZstdDecompressor(max_window_size=_MEMORY_BYTES).decompressobj()
        self._waiting = b""
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting and not self.eof

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        waiting = self._waiting + data
        out: list[bytes] = []
        size = at = 0
        while at < len(waiting) and not self._inner.eof and (max_length < 0 or size < max_length):
            out.append(self._inner.decompress(waiting[at : at + _ZSTD_IN_BYTES]))
            at += _ZSTD_IN_BYTES
            size += len(out[-1])
        self._waiting = waiting[at:]
        if self._inner.eof:
            self.unused_data, self._waiting = self._inner.unused_data + self._waiting, b""
        return b"".join(out)


def _zip_lzma(head: bytes) -> lzma.LZMADecompressor:
    """LZMA as in a zip (APPNOTE 5.8.8): version, the length of the properties, and the properties."""
    if len(head) < 9 or head[2:4] != b"\x05\x00":
        raise lzma.LZMAError("its properties are not 5 bytes")
    if head[4] >= 225:
        raise lzma.LZMAError("its properties are none")
    (dictionary,) = struct.unpack_from("<I", head, 5)
    if dictionary > _MEMORY_BYTES:
        raise Refused("too_large", f"unpacking it takes {dictionary} bytes of memory")
    filters = {
        "id": lzma.FILTER_LZMA1,
        "lc": head[4] % 9,
        "lp": head[4] // 9 % 5,
        "pb": head[4] // 45,
        "dict_size": max(dictionary, 4096),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


_MAKERS: dict[str, Callable[[], _Decompressor]] = {
    "deflate": lambda: _Zlib(-15),
    "gz": lambda: _Zlib(31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES),
    "zst": _Zstd,
}
_ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class Unpacker:
    """Unpacks one stream that comes in pieces.

    Args:
        packing: one of `PACKINGS`, of which any number of streams may follow on each other; or one of a zip's:
            `stored`, `deflate`, `bz2`, `lzma`, `zst`.
        single: whether the content is one stream, as a member of a zip is.
    """

    def __init__(self, packing: str, *, single: bool) -> None:
        self._packing = packing
        self._single = single
        self._inner: _Decompressor | None = None
        self._head = b""  # what came before it was enough to begin with
        self._skip = 0
        self._padding = False
        self.taken = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What further bytes unpack to, in pieces of bounded size; the iteration is to be gone through.

        Raises:
            Refused: `bad_payload`; `too_large` where unpacking takes too much memory.
        """
        self.taken += len(data)
        if self._packing == "stored":
            yield data
            return
        try:
            yield from self._feed(data)
        except _ERRORS as exc:
            code = "too_large" if "emory" in str(exc) else "bad_payload"
            raise Refused(code, f"what is packed as {self._packing} cannot be unpacked: {exc}") from exc  # type: ignore[arg-type]  # it is one of these two

    def finish(self) -> None:
        """Says that no more comes.

        Raises:
            Refused: `bad_payload`: the stream has not ended.
        """
        if self._packing == "stored" or (self._inner is None and not self._head and not self._skip and self.taken):
            return
        if self._inner is None or not self._inner.eof:
            raise Refused("bad_payload", f"what is packed as {self._packing} ends too early")

    def _feed(self, data: bytes) -> Iterator[bytes]:
        data = self._head + data
        self._head = b""
        while data:
            if self._inner is None:
                data = self._begin(data)
            if self._inner is None:
                continue
            yield self._inner.decompress(data, _OUT_BYTES)
            while not self._inner.needs_input and not self._inner.eof:
                piece = self._inner.decompress(b"", _OUT_BYTES)
                if not piece and not self._inner.eof:
                    break
                yield piece
            if not self._inner.eof:
                return
            data = self._inner.unused_data
            if self._single:
                if data:
                    raise ValueError(f"it ends {len(data)} bytes before its length")
                return
            self._inner, self._padding = None, True

    def _begin(self, data: bytes) -> bytes:
        """Starts the next stream; returns what is left of the data for it."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            return data[skipped:]
        if self._padding:  # between streams and after the last one; tapes and xz pad with zeros
            data = data.lstrip(b"\0")
        least = 9 if self._packing == "lzma" else 8 if self._packing == "zst" else 1 if self._single else 6
        if len(data) < least:
            self._head = data
            return b""
        if self._packing == "lzma":
            self._inner = _zip_lzma(data)
            return data[9:]
        if self._packing == "zst" and int.from_bytes(data[:4], "little") in _ZSTD_SKIPPABLE:
            self._skip = int.from_bytes(data[4:8], "little")
            return data[8:]
        if self._padding and packing_of(data) != self._packing:
            raise ValueError("something else follows its end")
        self._inner = _MAKERS[self._packing]()
        return data


class RatioUnpacker:
    """An `Unpacker` of streams that stops at what unpacks to too many times its size.

    Args:
        packing: one of `PACKINGS`.
        max_ratio: how many times as much it may unpack to, from 16 MiB on.
    """

    def __init__(self, packing: str, max_ratio: int) -> None:
        self._inner = Unpacker(packing, single=False)
        self._max_ratio = max_ratio
        self._out = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What further bytes unpack to.

        Raises:
            Refused: they cannot be unpacked; `unsafe_content` where they unpack to too much.
        """
        for piece in self._inner.feed(data):
            self._out += len(piece)
            if self._out > max(FLOOR_BYTES, self._inner.taken * self._max_ratio):
                raise Refused("unsafe_content", f"it unpacks to more than {self._max_ratio} times its size")
            yield piece

    def finish(self) -> None:
        """Says that no more comes.

        Raises:
            Refused: `bad_payload`: the stream has not ended.
        """
        self._inner.finish()
