"""The blocks of a stored range, ascending by their beginning, and up to where they are complete: for who learns from them.

Memory is bounded by the window that is read at once, not by the range.
"""

from collections.abc import AsyncIterator

import numpy as np
import pyarrow as pa

from datamanager.errors import NotFound
from datamanager.storage.blocks import decode_batch
from datamanager.storage.doubled import doubled
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["Replay"]

_READ = 50  # blocks at once
_SPAN_NS = 2_000_000_000


class Replay:
    """Replays one stream."""

    def __init__(self, telemetry: Telemetry, streams: Streams) -> None:
        self._telemetry = telemetry
        self._streams = streams

    async def blocks(
        self, robot_id: str, session_id: str, stream: str, start_ns: int, end_ns: int
    ) -> AsyncIterator[tuple[pa.RecordBatch, int]]:
        """Record batches (`t_ns`, `seq`, then channels) with the samples in `[start_ns, end_ns)`, each once.

        Each with a time before which no later batch has samples.

        Raises:
            NotFound: there is no such stream.
            MongoUnavailable: MongoDB does not answer.
        """
        place = (robot_id, session_id, stream)
        described = await self._streams.get(*place)
        if described is None:
            raise NotFound(f"session {robot_id}/{session_id} has no stream {stream!r}")
        reach_ns = max(described["max_span_ns"], _SPAN_NS)
        listed = await self._telemetry.statistics(*place, start_ns=start_ns - reach_ns, end_ns=end_ns, packed=False)
        entries = list({d["block"]: d for d in listed}.values())
        entries.sort(key=lambda d: (d["t_ns"], d["producer"], d["seq_first"]))
        drops = doubled(entries)
        schemas = {s["hash"]: pa.ipc.read_schema(pa.py_buffer(s["ipc"])) for s in described["schemas"]}
        for at in range(0, len(entries), _READ):
            some = entries[at : at + _READ]
            found = await self._read(place, some)
            for i, entry in enumerate(some, at):
                document = found.get(entry["block"])
                following_ns = entries[i + 1]["t_ns"] if i + 1 < len(entries) else end_ns
                if document is not None:
                    batch = decode_batch(document["data"], schemas[document["schema"]])
                    yield _within(batch, start_ns, end_ns, drops.get(i, [])), min(max(following_ns, start_ns), end_ns)

    async def _read(self, place: tuple[str, str, str], entries: list[Document]) -> dict[str, Document]:
        first_ns, last_ns = entries[0]["t_ns"], entries[-1]["t_ns"]
        names = [d["block"] for d in entries]
        found = await self._telemetry.blocks(*place, start_ns=first_ns, end_ns=last_ns + 1, reaching_ns=0, named=names)
        return {d["block"]: d for d in found}


def _within(batch: pa.RecordBatch, start_ns: int, end_ns: int, drops: list[tuple[int, int]]) -> pa.RecordBatch:
    t_ns = batch.column(0).to_numpy()
    keep = (t_ns >= start_ns) & (t_ns < end_ns)
    seq = batch.column(1).to_numpy()
    for first, last in drops:
        keep &= (seq < first) | (seq > last)
    return batch if keep.all() else batch.filter(pa.array(np.asarray(keep)))
