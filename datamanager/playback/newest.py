"""The newest samples of a session, from Redis alone: a second late, and without a question to MongoDB."""

from typing import Any

import msgspec
import pyarrow as pa

from datamanager.playback.range_formats import json_values
from datamanager.storage.blocks import SYSTEM_COLUMNS
from datamanager.storage.latest import LatestSamples

__all__ = ["NewestItem", "NewestReader"]


class NewestItem(msgspec.Struct, kw_only=True):
    """The last samples of one stream, as a range in JSON has them."""

    stream: str
    start_ns: str
    offset_ns: list[int]
    channels: dict[str, list[Any]]


class NewestReader:
    """Reads what ingest keeps."""

    def __init__(self, latest: LatestSamples) -> None:
        self._latest = latest

    async def read(self, robot_id: str, session_id: str, streams: list[str], limit: int) -> list[NewestItem]:
        """The last `limit` samples of each stream; a stream of which nothing is kept is left out.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        found = await self._latest.get(robot_id, session_id)
        wanted = [name for name in sorted(found) if not streams or name in streams]
        return [_item(name, found[name], limit) for name in wanted]


def _item(stream: str, data: bytes, limit: int) -> NewestItem:
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    table = table.slice(max(0, table.num_rows - limit)).combine_chunks()
    t_ns = table.column(0).to_numpy()
    start_ns = int(t_ns[0])
    channels = {
        name: json_values(table.column(i).combine_chunks())
        for i, name in enumerate(table.schema.names)
        if i >= SYSTEM_COLUMNS
    }
    return NewestItem(stream=stream, start_ns=str(start_ns), offset_ns=(t_ns - start_ns).tolist(), channels=channels)
