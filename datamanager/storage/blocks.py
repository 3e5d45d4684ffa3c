"""A block: a run of samples of one stream and one producer, as it is stored, cached and sent.

`data` is one Arrow IPC record batch message, uncompressed, with the columns `t_ns` (int64), `seq` (int64) and then the
channels sorted by name; the schema is kept once, in `streams`, under its hash. Rows are in ascending time.
"""

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["SYSTEM_COLUMNS", "Block", "block_schema", "decode_batch", "encode_batch", "schema_hash"]

SYSTEM_COLUMNS = 2  # t_ns and seq stand before the channels


@dataclass(slots=True, kw_only=True)
class Block:
    """One block, ready to be written.

    Attributes:
        t_ns, t_end_ns: times of its first and last sample.
        n: samples.
        seqs: the seq ranges it holds, ascending.
        prevs: of each range, the seq that the producer had in this stream before it; None when there was none. From
            it a later reader of the ledger tells a gap of the producer's own from a loss.
        auto: the server numbered the messages, so nothing of them can be recognised as sent again.
        messages: how many messages.
        size_bytes: of its data as it is stored.
        schema: its Arrow schema's hash.
        statistics: the packed statistics of its numeric channels (see `storage.statistics`).
        generation: when the writer opened its present generation, Unix seconds.
        statistics_generation: that of its statistics, where they came so late that it had to be another; else 0.
        id: no other block has it, so that one that was written twice is known.
    """

    robot_id: str
    session_id: str
    stream: str
    producer: str
    t_ns: int
    t_end_ns: int
    n: int
    seqs: list[tuple[int, int]]
    prevs: list[int | None]
    auto: bool
    messages: int
    size_bytes: int
    schema: str
    schema_ipc: bytes
    channel_types: dict[str, str]
    data: bytes
    statistics: bytes
    generation: int = 0
    statistics_generation: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: os.urandom(8).hex())


def block_schema(names: tuple[str, ...], types: list[pa.DataType]) -> pa.Schema:
    """The Arrow schema of a block with these channels."""
    system = [pa.field("t_ns", pa.int64(), nullable=False), pa.field("seq", pa.int64(), nullable=False)]
    return pa.schema(system + [pa.field(name, kind) for name, kind in zip(names, types, strict=True)])


def schema_hash(schema_ipc: bytes) -> str:
    """The name under which a schema is kept: 16 hexadecimal characters."""
    return hashlib.blake2b(schema_ipc, digest_size=8).hexdigest()


def encode_batch(
    schema: pa.Schema, t_ns: np.ndarray[Any, Any], seq: np.ndarray[Any, Any], columns: list[pa.Array]
) -> bytes:
    """The IPC message of one block whose rows are in ascending time."""
    arrays = [pa.array(t_ns), pa.array(seq), *columns]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return batch.serialize().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types


def decode_batch(data: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """The record batch of a block's `data`, without copying its columns."""
    return pa.ipc.read_record_batch(pa.py_buffer(data), schema)
