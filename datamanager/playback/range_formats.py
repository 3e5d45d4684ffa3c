"""A range's tables as a body: `arrow`, `json`, `ndjson`, `msgpack` or `csv`, in pieces.

Arrow, NDJSON and CSV are written as the tables come. JSON and MessagePack are columnar, so they are gathered
first: `is_gathered` tells the caller to ask whether there is room for that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv

from datamanager.errors import Refused

__all__ = ["FORMATS", "check_format", "encode_range", "is_gathered", "json_values", "only"]

T = TypeVar("T")

Body = AsyncIterator[bytes]
_BUCKET_COLUMNS = ("t_ns", "t_end_ns", "count")
_TEXT_OF = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_PIECE = 65_536
_PIECE_VALUES = 100_000
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def encode_range(
    name: str, stream: str, schema: pa.Schema, tables: AsyncIterator[pa.Table], *, start_ns: int
) -> tuple[str, Body]:
    """The media type and the pieces of a body.

    Args:
        name: one of `FORMATS`.
        stream: the stream's name, as JSON and MessagePack tell it.
        schema: of every table.
        tables: the samples in ascending time; read only as the body is.
        start_ns: the start that an empty answer tells.

    Raises:
        Refused: there is no such format.
    """
    check_format(name)
    mime, encode = FORMATS[name]
    if is_gathered(name):
        return mime, encode(stream, start_ns, _gathered(schema, tables))
    return mime, encode(schema, tables)


def check_format(name: str) -> None:
    """Looks whether there is such a format, for who wants to know before anything is read.

    Raises:
        Refused: there is none.
    """
    if name not in FORMATS:
        raise Refused("malformed", f"format {name[:40]!r} is none of {', '.join(FORMATS)}")


async def only(item: T) -> AsyncIterator[T]:
    """One item, where pieces or tables are to come one by one."""
    yield item


def is_gathered(name: str) -> bool:
    """Whether a format needs the whole range in memory at once."""
    return name in ("json", "msgpack")


async def _gathered(schema: pa.Schema, tables: AsyncIterator[pa.Table]) -> pa.Table:
    parts = [table async for table in tables]
    return pa.concat_tables(parts) if parts else schema.empty_table()


async def _arrow(schema: pa.Schema, tables: AsyncIterator[pa.Table]) -> Body:
    yield schema.serialize().to_pybytes()
    async for table in tables:
        for batch in (await asyncio.to_thread(table.combine_chunks)).to_batches():
            yield batch.serialize().to_pybytes()
    yield _END_OF_STREAM


async def _csv(schema: pa.Schema, tables: AsyncIterator[pa.Table]) -> Body:
    yield _csv_bytes(schema.empty_table(), header=True)
    async for table in tables:
        yield await asyncio.to_thread(_csv_bytes, table, header=False)


def _csv_bytes(table: pa.Table, *, header: bool) -> bytes:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=header))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types


async def _ndjson(schema: pa.Schema, tables: AsyncIterator[pa.Table]) -> Body:
    names = schema.names
    async for table in tables:
        for batch in table.to_batches(max_chunksize=_PIECE // max(1, len(names))):
            yield await asyncio.to_thread(_ndjson_bytes, batch, names)


def _lead(names: list[str]) -> tuple[str, ...]:
    """The columns before the channels: of buckets three. Channels stand by name, so that theirs never look like them."""
    return _BUCKET_COLUMNS if tuple(names[:3]) == _BUCKET_COLUMNS else _BUCKET_COLUMNS[:1]


def _ndjson_bytes(batch: pa.RecordBatch, names: list[str]) -> bytes:
    times = batch.column(0).to_pylist()
    heads = [{"t_ns": str(t), "timestamp": t / 1e9} for t in times]
    columns = [json_values(column) for column in batch.columns[1:]]
    rows = zip(*columns, strict=True) if columns else ((),) * len(times)
    # A channel may be called as the time is: the time wins.
    lines = [head | dict(zip(names[1:], row, strict=True)) | head for head, row in zip(heads, rows, strict=True)]
    if len(_lead(names)) > 1:
        for line in lines:
            line["t_end_ns"] = str(line["t_end_ns"])
    return msgspec.json.Encoder().encode_lines(lines)


def json_values(column: pa.Array) -> list[Any]:
    """A column's values as JSON has them: NaN and infinities by name."""
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow ships no types
    # By way of numpy: pyarrow makes an object of its own of each value first.
    numbers = (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
    values: list[Any] = numbers.tolist()
    if pa.types.is_floating(kind):
        for i in np.flatnonzero(~np.isfinite(numbers)).tolist():
            values[i] = _TEXT_OF[str(values[i])]
    if column.null_count:
        for i in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
            values[i] = None
    return values


async def _json(stream: str, start_ns: int, gathered: Any) -> Body:
    table = await gathered
    first_ns = table.column(0)[0].as_py() if table.num_rows else start_ns
    yield msgspec.json.encode({"stream": stream, "start_ns": str(first_ns)})[:-1]
    lead = _lead(table.schema.names)
    for number, name in enumerate(lead):
        values = table.column(number).to_numpy() - (0 if name == "count" else first_ns)
        yield b',"%b":' % {"t_ns": b"offset_ns", "t_end_ns": b"end_offset_ns"}.get(name, b"count")
        yield msgspec.json.encode(values.tolist())
    yield b',"channels":{'
    channels = table.select(range(len(lead), table.num_columns))
    step = max(1, _PIECE_VALUES // max(1, table.num_rows))
    for at in range(0, channels.num_columns, step):
        some = channels.select(range(at, min(at + step, channels.num_columns)))
        yield (b"," if at else b"") + await asyncio.to_thread(_json_columns, some)
    yield b"}}"


def _json_columns(table: pa.Table) -> bytes:
    names = (msgspec.json.encode(name) for name in table.schema.names)
    return b",".join(b"%b:%b" % pair for pair in zip(names, map(_json_column, table.columns), strict=True))


def _json_column(column: pa.ChunkedArray) -> bytes:
    return b"[" + b",".join(msgspec.json.encode(json_values(c))[1:-1] for c in column.chunks if len(c)) + b"]"


async def _msgpack(stream: str, start_ns: int, gathered: Any) -> Body:
    table = await gathered
    first_ns = table.column(0)[0].as_py() if table.num_rows else start_ns
    lead = _lead(table.schema.names)
    offsets = (table.column(0).to_numpy() - first_ns).astype("<i8")
    answer: dict[str, Any] = {"stream": stream, "start_ns": first_ns, "offset_ns": offsets.tobytes()}
    if len(lead) > 1:
        answer["end_offset_ns"] = (table.column(1).to_numpy() - first_ns).tolist()
        answer["count"] = table.column(2).to_pylist()
    channels, dtypes = {}, {"offset_ns": "int64"}
    for number, name in enumerate(table.schema.names[len(lead) :]):
        column = table.column(len(lead) + number)
        if column.null_count or not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            channels[name] = column.to_pylist()
        else:
            values = column.to_numpy()
            channels[name] = values.tobytes()
            dtypes[name] = values.dtype.name
    yield msgspec.msgpack.encode(answer | {"channels": channels, "dtypes": dtypes})


FORMATS: dict[str, tuple[str, Callable[..., Body]]] = {
    "json": ("application/json", _json),
    "ndjson": ("application/x-ndjson", _ndjson),
    "msgpack": ("application/msgpack", _msgpack),
    "arrow": ("application/vnd.apache.arrow.stream", _arrow),
    "csv": ("text/csv; charset=utf-8", _csv),
}
