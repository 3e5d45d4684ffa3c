"""Keeps the newest samples of what is being recorded in Redis, a little behind and never in the way of an ack."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.blocks import Block, decode_batch
from datamanager.storage.latest import LATEST_SAMPLES, LatestSamples

__all__ = ["Newest"]

_log = get_logger(__name__)
_INTERVAL_S = 1.0
_MAX_STREAM_BYTES = 1_000_000  # of one stream: then fewer samples are kept
_MAX_BYTES = 32_000_000  # of all: of the streams that were written last

Key = tuple[str, str, str]  # robot_id, session_id, stream


class Newest:
    """Gathers durable blocks and writes the last samples of each stream once a second. Run `run` as a task."""

    def __init__(self, latest: LatestSamples, clock: Clock) -> None:
        self._latest = latest
        self._clock = clock
        self._blocks: OrderedDict[Key, deque[_Rows]] = OrderedDict()
        self._bytes = 0
        self._fresh: set[Key] = set()

    def stored(self, block: Block) -> None:
        """A block became durable."""
        key = (block.robot_id, block.session_id, block.stream)
        blocks = self._blocks.pop(key, deque())
        self._bytes -= _size(blocks)
        if blocks and blocks[-1].schema != block.schema:
            blocks.clear()  # blocks of two shapes do not go into one table
        blocks.append(_rows_of(block))
        while sum(b.n for b in blocks) - blocks[0].n >= LATEST_SAMPLES or (
            len(blocks) > 1 and _size(blocks) > _MAX_STREAM_BYTES
        ):
            blocks.popleft()
        self._blocks[key] = blocks
        self._bytes += _size(blocks)
        self._fresh.add(key)
        while self._bytes > _MAX_BYTES and len(self._blocks) > 1:
            self._bytes -= _size(self._blocks.popitem(last=False)[1])

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL_S)
            fresh, self._fresh = self._fresh, set()
            if not fresh:
                continue
            tails: dict[tuple[str, str], dict[str, bytes]] = {}
            for key in fresh:
                blocks = list(self._blocks.get(key, ()))
                if blocks:  # else others have taken its place
                    tails.setdefault(key[:2], {})[key[2]] = await asyncio.to_thread(_tail, blocks)
            try:
                await self._latest.put(tails)
            except RedisUnavailable as error:
                _log.info("the newest samples are not kept", error=error.detail)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A block, or the end of a large one."""

    n: int
    schema: str
    schema_ipc: bytes
    data: bytes


def _rows_of(block: Block) -> _Rows:
    if len(block.data) <= _MAX_STREAM_BYTES:
        return _Rows(block.n, block.schema, block.schema_ipc, block.data)
    n = min(LATEST_SAMPLES, max(1, block.n * _MAX_STREAM_BYTES // len(block.data)))
    batch = decode_batch(block.data, pa.ipc.read_schema(pa.py_buffer(block.schema_ipc))).slice(block.n - n)
    return _Rows(n, block.schema, block.schema_ipc, batch.serialize().to_pybytes())


def _size(blocks: Iterable[_Rows]) -> int:
    return sum(len(b.data) for b in blocks)


def _tail(blocks: list[_Rows]) -> bytes:
    """The last samples of some blocks, in ascending time, as an Arrow IPC stream."""
    schema = pa.ipc.read_schema(pa.py_buffer(blocks[0].schema_ipc))
    table = pa.Table.from_batches([decode_batch(b.data, schema) for b in blocks], schema)
    order = np.argsort(table.column(0).to_numpy(), kind="stable")  # by place: a channel may be called as the time is
    table = table.take(pa.array(order))
    table = table.slice(max(0, table.num_rows - LATEST_SAMPLES)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types
