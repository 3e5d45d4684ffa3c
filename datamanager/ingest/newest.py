"""Keeps the newest samples of what is being recorded in Redis, a little behind and never in the way of an ack."""

import asyncio
from collections import OrderedDict, deque

import pyarrow as pa

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.blocks import Block
from datamanager.storage.latest import LATEST_SAMPLES, LatestSamples

__all__ = ["Newest"]

_log = get_logger(__name__)
_INTERVAL_S = 1.0
_MAX_STREAMS = 2000  # of those that were written last; some 100 KB each at most

Key = tuple[str, str, str]  # robot_id, session_id, stream


class Newest:
    """Gathers durable blocks and writes the last samples of each stream once a second. Run `run` as a task."""

    def __init__(self, latest: LatestSamples, clock: Clock) -> None:
        self._latest = latest
        self._clock = clock
        self._blocks: OrderedDict[Key, deque[Block]] = OrderedDict()
        self._fresh: set[Key] = set()

    def stored(self, block: Block) -> None:
        """A block became durable."""
        key = (block.robot_id, block.session_id, block.stream)
        blocks = self._blocks.setdefault(key, deque())
        self._blocks.move_to_end(key)
        if blocks and blocks[-1].schema != block.schema:
            blocks.clear()  # blocks of two shapes do not go into one table
        blocks.append(block)
        while sum(b.n for b in blocks) - blocks[0].n >= LATEST_SAMPLES:
            blocks.popleft()
        self._fresh.add(key)
        if len(self._blocks) > _MAX_STREAMS:
            self._fresh.discard(self._blocks.popitem(last=False)[0])

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL_S)
            fresh, self._fresh = self._fresh, set()
            if not fresh:
                continue
            tails: dict[tuple[str, str], dict[str, bytes]] = {}
            for key in fresh:
                tails.setdefault(key[:2], {})[key[2]] = await asyncio.to_thread(_tail, list(self._blocks[key]))
            try:
                await self._latest.put(tails)
            except RedisUnavailable as error:
                _log.info("the newest samples are not kept", error=error.detail)


def _tail(blocks: list[Block]) -> bytes:
    """The last samples of some blocks, in ascending time, as an Arrow IPC stream."""
    schema = pa.ipc.read_schema(pa.py_buffer(blocks[0].schema_ipc))
    batches = [pa.ipc.read_record_batch(pa.py_buffer(b.data), schema) for b in blocks]
    table = pa.Table.from_batches(batches, schema).sort_by("t_ns")
    table = table.slice(max(0, table.num_rows - LATEST_SAMPLES)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types
