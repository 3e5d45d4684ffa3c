"""Single tensors of a safetensors record: the list, and one of them by its range of bytes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from datamanager.errors import NotFound, Refused
from datamanager.kinds.safetensors.header import Header, Tensor, parse_header, read_header
from datamanager.kinds.safetensors.npy import npy_header
from datamanager.playback.bounded_cache import BoundedCache
from datamanager.playback.contents import Contents
from datamanager.playback.pages import DEFAULT_LIMIT, Page
from datamanager.playback.params import encode_cursor, parse_int, parse_offset
from datamanager.playback.stored_bytes import StoredBytes

__all__ = ["OpenTensor", "TensorItem", "TensorReader"]

_KINDS = ("safetensors",)
_FIRST_BYTES = 64 * 1024
_HERE_BYTES, _THREAD_BYTES = 16 * 1024, 1024 * 1024  # a header was checked as it came: a child is for its size alone
_CACHED_TENSORS = 100_000  # about 40 MB


class TensorItem(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: `dtype` in the format's words, C order, little-endian; its bytes are [start, end) of the file."""

    name: str
    dtype: str
    shape: list[int]
    size_bytes: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OpenTensor:
    """A tensor that is about to be sent.

    Attributes:
        tensor: which.
        before: what goes before its bytes: the header of a `.npy` file.
        checksum: of the whole file, SHA-256 in hex.
        stored: where its bytes are.
    """

    tensor: Tensor
    before: bytes
    checksum: str
    stored: StoredBytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.before) + self.tensor.size_bytes

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) of what is sent."""
        if start < len(self.before):
            yield self.before[start:end]
        ahead = len(self.before)
        first, last = max(0, start - ahead), max(0, end - ahead)
        async for piece in self.stored.pieces(self.tensor.start + first, last - first):
            yield piece


@dataclass(frozen=True, slots=True)
class _Index:
    header: Header
    by_name: dict[str, Tensor]


class TensorReader:
    """Reads tensors. The headers of files that were asked for lately are kept."""

    def __init__(self, contents: Contents, *, page_limit: int) -> None:
        self._contents = contents
        self._page_limit = page_limit
        self._cache: BoundedCache[_Index] = BoundedCache(_CACHED_TENSORS)

    async def page(self, record_id: str, *, limit: str | None, cursor: str | None) -> Page[TensorItem]:
        """Some tensors, in the order of their bytes.

        Raises:
            NotFound: there is no such record.
            Refused: it is of another kind, or a parameter is wrong.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        after = parse_offset(cursor)
        _, _, index = await self._open(record_id)
        tensors = index.header.tensors
        has_more = after + count < len(tensors)
        return Page(
            items=[_item(tensor) for tensor in tensors[after : after + count]],
            next_cursor=encode_cursor((after + count,)) if has_more else None,
        )

    async def open(self, record_id: str, name: str, form: str) -> OpenTensor:
        """One tensor, as `raw` bytes or as an `npy` file.

        Raises:
            NotFound: there is no such record or tensor.
            Refused: the record is of another kind, or the tensor cannot be had in that form.
        """
        if form not in ("raw", "npy"):
            raise Refused("wrong_type", f"format {form[:32]!r} is neither raw nor npy")
        stored, checksum, index = await self._open(record_id)
        tensor = index.by_name.get(name)
        if tensor is None:
            raise NotFound(f"record {record_id} has no tensor {name[:200]!r}")
        return OpenTensor(tensor, npy_header(tensor) if form == "npy" else b"", checksum, stored)

    async def _open(self, record_id: str) -> tuple[StoredBytes, str, _Index]:
        document, stored = await self._contents.stored(record_id, _KINDS)
        index = self._cache.get(record_id)
        if index is None:
            header = await self._header(record_id, stored)
            index = _Index(header, {tensor.name: tensor for tensor in header.tensors})
            self._cache.put(record_id, index, 1 + len(header.tensors))
        return stored, str(document["checksum"]), index

    async def _header(self, record_id: str, stored: StoredBytes) -> Header:
        first = await stored.read(0, _FIRST_BYTES)
        length = int.from_bytes(first[:8], "little")
        if length > _THREAD_BYTES:
            most = self._contents.limits.max_header_bytes
            return await self._contents.read(record_id, _KINDS, read_header, most)
        data = first[8 : 8 + length]
        if len(data) < length:
            data += await stored.read(len(first), length - len(data))
        if length <= _HERE_BYTES:
            return parse_header(data, stored.size)
        return await asyncio.to_thread(parse_header, data, stored.size)


def _item(tensor: Tensor) -> TensorItem:
    return TensorItem(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=list(tensor.shape),
        size_bytes=tensor.size_bytes,
        start=tensor.start,
        end=tensor.end,
    )
