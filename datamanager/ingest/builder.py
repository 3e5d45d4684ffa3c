"""Gathers the samples of one producer in one stream into a block. Pure: what is written is decided by the caller."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from datamanager.kinds.time_series.columns import Columns
from datamanager.kinds.time_series.types import cast_column, column_from_values, type_of_column, widen
from datamanager.storage.blocks import block_schema, encode_batch, schema_hash
from datamanager.storage.statistics import dense, is_numeric, pack

__all__ = ["BlockBuilder", "BuiltBlock"]

_HOUR_NS = 3_600_000_000_000
_SMALL_BYTES = 20_000  # so much more is no matter
Times = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A finished block's content: see `storage.blocks.Block` for the fields."""

    t_ns: int
    t_end_ns: int
    n: int
    schema: str
    schema_ipc: bytes
    channel_types: dict[str, str]
    data: bytes
    statistics: bytes


@dataclass(slots=True)
class _Rows:
    """Samples of one shape that came one by one."""

    names: tuple[str, ...]
    from_json: bool
    t_ns: list[int]
    rows: list[tuple[object, ...]]


class BlockBuilder:
    """One block under construction: at least one message, never a part of one."""

    def __init__(self) -> None:
        self.n = 0
        self._part_bytes = 0
        self._names: frozenset[str] = frozenset()
        self._cells = 0
        self._parts: list[_Rows | Columns] = []
        self._seqs: list[int] = []
        self._counts: list[int] = []
        self._first_ns = 0
        self._last_ns = 0

    @property
    def size_bytes(self) -> int:
        """About how large the block is, with what messages take that lack channels of others."""
        return self._part_bytes + 8 * (self.n * len(self._names) - self._cells)

    def fits(
        self, names: tuple[str, ...], n: int, first_ns: int, last_ns: int, size_bytes: int, max_bytes: int
    ) -> bool:
        """Whether a message belongs into this block: not too large with it, and all within one hour of the clock.

        Args:
            names: its channels.
            n: its samples.
            first_ns: its first time.
            last_ns: its last time.
            size_bytes: what it takes by itself.
            max_bytes: the largest block.
        """
        if not self.n:
            return True
        first, last = min(first_ns, self._first_ns), max(last_ns, self._last_ns)
        width = len(self._names.union(names))
        gaps = (self.n + n) * width - self._cells - n * len(names)
        return self._part_bytes + size_bytes + 8 * gaps <= max_bytes and first // _HOUR_NS == last // _HOUR_NS

    def add_sample(
        self,
        seq: int,
        t_ns: int,
        names: tuple[str, ...],
        leaves: tuple[object, ...],
        *,
        from_json: bool,
        size_bytes: int,
    ) -> None:
        """Adds one nested sample, flattened."""
        last = self._parts[-1] if self._parts else None
        if isinstance(last, _Rows) and last.names is names and last.from_json is from_json:
            last.t_ns.append(t_ns)
            last.rows.append(leaves)
        else:
            self._parts.append(_Rows(names, from_json, [t_ns], [leaves]))
        self._seqs.append(seq)
        self._counts.append(1)
        self._count(1, names, t_ns, t_ns, size_bytes)

    def add_columns(self, seq: int, columns: Columns, first_ns: int, last_ns: int) -> None:
        """Adds one columnar message."""
        self._parts.append(columns)
        self._seqs.append(seq)
        self._counts.append(len(columns.t_ns))
        self._count(len(columns.t_ns), columns.names, first_ns, last_ns, columns.size_bytes)

    def add_run(self, first_seq: int, columns: Columns, first_ns: int, last_ns: int) -> None:
        """Adds samples that came one by one, numbered from `first_seq`, and were gathered into columns."""
        n = len(columns.t_ns)
        self._parts.append(columns)
        self._seqs.extend(range(first_seq, first_seq + n))
        self._counts.extend([1] * n)
        self._count(n, columns.names, first_ns, last_ns, columns.size_bytes)

    def _count(self, n: int, names: tuple[str, ...], first_ns: int, last_ns: int, size_bytes: int) -> None:
        if len(names) != len(self._names) or not self._names.issuperset(names):
            self._names = self._names.union(names)
        self._first_ns = min(first_ns, self._first_ns) if self.n else first_ns
        self._last_ns = max(last_ns, self._last_ns) if self.n else last_ns
        self.n += n
        self._cells += n * len(names)
        self._part_bytes += size_bytes

    def build(self, layout: Mapping[str, str] | None = None) -> BuiltBlock:
        """The block, its rows in ascending time, equal times in the order they came.

        Args:
            layout: channel to type; these are in the block, numbers as wide at least, when that makes it no more than
                twice as large. So a stream whose samples lack now this and now that channel keeps to few schemas.
        """
        if layout is not None and 8 * self.n * len(layout) > 2 * self.size_bytes + _SMALL_BYTES:
            layout = None
        t_ns = np.concatenate([p.t_ns if isinstance(p, Columns) else np.array(p.t_ns, np.int64) for p in self._parts])
        seq = np.repeat(np.array(self._seqs, np.int64), self._counts)
        order = np.argsort(t_ns, kind="stable") if (t_ns[1:] < t_ns[:-1]).any() else None
        if order is not None:
            t_ns, seq = t_ns[order], seq[order]
        dense = None if layout is not None and not _all_float(layout, self._names) else self._dense(order)
        names, columns, types, statistics = dense or self._mixed(order, layout or {})
        schema, ipc, name = _schema(names, tuple(column.type for column in columns))
        data = encode_batch(schema, t_ns, seq, columns)
        kinds = dict(zip(names, types, strict=True))
        return BuiltBlock(int(t_ns[0]), int(t_ns[-1]), self.n, name, ipc, kinds, data, statistics)

    def _dense(self, order: Times | None) -> tuple[tuple[str, ...], list[pa.Array], list[str], bytes] | None:
        """The common case, all of it float64 columns of the same channels: one joined buffer, nothing converted."""
        first = self._parts[0]
        if not isinstance(first, Columns) or first.buffers is None:
            return None
        buffers: list[list[bytes]] = []
        for part in self._parts:
            if not isinstance(part, Columns) or part.buffers is None or part.names != first.names:
                return None
            buffers.append(part.buffers)
        joined = b"".join([piece for channel in zip(*buffers, strict=True) for piece in channel])
        values = np.frombuffer(joined, np.float64).reshape(len(first.names), self.n)
        if order is not None:
            values = np.ascontiguousarray(values[:, order])
        whole = pa.py_buffer(values)
        width = 8 * self.n
        columns = [
            pa.Array.from_buffers(pa.float64(), self.n, [None, whole.slice(i * width, width)], 0)
            for i in range(len(first.names))
        ]
        return first.names, columns, ["float"] * len(columns), pack(values)

    def _mixed(
        self, order: Times | None, layout: Mapping[str, str]
    ) -> tuple[tuple[str, ...], list[pa.Array], list[str], bytes]:
        groups = [list(group) for _, group in groupby(self._parts, _joinable)]
        pieces = [_arrays(group) for group in groups]
        sizes = [sum(len(part.t_ns) for part in group) for group in groups]
        names = tuple(sorted(set(layout).union(*pieces)))
        columns, types = [], []
        for name in names:
            parts = [(piece.get(name), n) for piece, n in zip(pieces, sizes, strict=True)]
            column, kind = _join(parts)
            wider = widen(kind, layout.get(name, "null"))
            if wider != "string" or kind == "null":  # numbers become text only among texts
                column, kind = cast_column(column, wider), wider
            columns.append(column if order is None else column.take(pa.array(order)))
            types.append(kind)
        numeric = [dense(column) for column in columns if is_numeric(column.type)]
        return names, columns, types, pack(np.stack(numeric)) if numeric else b""


def _joinable(part: _Rows | Columns) -> object:
    """The same of neighbours that become columns together."""
    return part.from_json if isinstance(part, _Rows) else object()


def _arrays(group: list[_Rows | Columns]) -> dict[str, pa.Array]:
    part = group[0]
    if isinstance(part, _Rows):
        columns = _columns_of_rows([part for part in group if isinstance(part, _Rows)])
        return {name: column_from_values(column, from_json=part.from_json) for name, column in columns.items()}
    if part.buffers is not None:
        n = len(part.t_ns)
        arrays = [pa.Array.from_buffers(pa.float64(), n, [None, pa.py_buffer(b)], 0) for b in part.buffers]
        return dict(zip(part.names, arrays, strict=True))
    return dict(zip(part.names, part.arrays or (), strict=True))


def _columns_of_rows(parts: list[_Rows]) -> dict[str, Sequence[object]]:
    """Channel to its values, None where a row lacks it."""
    if len(parts) == 1:
        return dict(zip(parts[0].names, zip(*parts[0].rows, strict=True), strict=True))
    n = sum(len(part.rows) for part in parts)
    columns: dict[str, list[object]] = {name: [None] * n for part in parts for name in part.names}
    rows = ((part.names, row) for part in parts for row in part.rows)
    for at, (names, row) in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            columns[name][at] = value
    return dict(columns)


def _all_float(layout: Mapping[str, str], names: AbstractSet[str]) -> bool:
    return layout.keys() == names and set(layout.values()) == {"float"}


def _join(pieces: list[tuple[pa.Array | None, int]]) -> tuple[pa.Array, str]:
    """One column of all pieces, widened to the type that holds them all; missing where a piece lacks the channel."""
    kind = "null"
    for piece, _ in pieces:
        if piece is not None:
            kind = widen(kind, type_of_column(piece))
    parts = [cast_column(pa.nulls(n) if piece is None else piece, kind) for piece, n in pieces]
    return (parts[0] if len(parts) == 1 else pa.concat_arrays(parts)), kind


@lru_cache(maxsize=1024)
def _schema(names: tuple[str, ...], types: tuple[pa.DataType, ...]) -> tuple[pa.Schema, bytes, str]:
    schema = block_schema(names, list(types))
    ipc = schema.serialize().to_pybytes()
    return schema, ipc, schema_hash(ipc)
