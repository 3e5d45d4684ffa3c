"""Pre-computed aggregates of a stream: count, min, max, mean, first and last of each channel, in aligned windows.

A block counts as a whole in the window in which it begins, so that a window's samples may reach a little beyond it:
`t_ns` and `t_end_ns` say how far. At the edges of the range only the samples inside it count.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from datamanager.config import PlaybackConfig
from datamanager.errors import RangeTooLarge, Refused
from datamanager.playback.buckets import merged_in, numeric_of
from datamanager.playback.lod import find
from datamanager.playback.params import TimeRange
from datamanager.playback.range_formats import check_format, encode_range, json_values, only
from datamanager.playback.scan import Scan, load_layout
from datamanager.storage.cells import COUNT, Cells, cells_of_blocks
from datamanager.storage.lod import LEVELS_NS, Lod
from datamanager.storage.sessions import Streams
from datamanager.storage.statistics import FIELDS
from datamanager.storage.telemetry import Telemetry

__all__ = ["RESOLUTIONS", "AggregateQuery", "AggregateReader"]

RESOLUTIONS: dict[str, int | None] = dict(zip(("1s", "10s", "1min", "10min"), LEVELS_NS, strict=True)) | {"block": None}
"""Name to length in ns; of `block` none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateQuery:
    """What is asked for.

    Attributes:
        channels: none is all.
        resolution: one of `RESOLUTIONS`.
        format: one of `range_formats.FORMATS`.
    """

    robot_id: str
    session_id: str
    stream: str
    times: TimeRange
    channels: list[str]
    resolution: str
    format: str


class AggregateReader:
    """Reads aggregates."""

    def __init__(self, streams: Streams, telemetry: Telemetry, lod: Lod, config: PlaybackConfig) -> None:
        self._streams = streams
        self._telemetry = telemetry
        self._lod = lod
        self._config = config

    async def read(self, query: AggregateQuery) -> tuple[str, AsyncIterator[bytes]]:
        """The media type and the body's pieces.

        Raises:
            NotFound: there is no such stream or channel.
            Refused: the query is malformed, or the stream has no samples.
            RangeTooLarge: it would be more than can be gathered.
            MongoUnavailable: MongoDB does not answer.
        """
        check_format(query.format)
        if query.resolution not in RESOLUTIONS:
            raise Refused("malformed", f"resolution {query.resolution[:40]!r} is none of {', '.join(RESOLUTIONS)}")
        layout = await load_layout(self._streams, query.robot_id, query.session_id, query.stream)
        channels = numeric_of(layout.types, layout.select(query.channels))
        scan = Scan(self._telemetry, layout, query.times.start_ns, query.times.end_ns, channels)
        cells = await self._cells(scan, RESOLUTIONS[query.resolution])
        if query.format == "json":
            return "application/json", only(await asyncio.to_thread(_json, query, cells, channels))
        table = await asyncio.to_thread(_table, cells, channels)
        return encode_range(query.format, query.stream, table.schema, only(table), start_ns=scan.start_ns)

    async def _cells(self, scan: Scan, window_ns: int | None) -> Cells:
        if window_ns is None:
            blocks = [d for d in (await scan.index(packed=True)).documents if d["t_ns"] >= scan.start_ns]
            self._check(scan, len(blocks))
            cells = cells_of_blocks(blocks, scan.layout.schemas, scan.channels)
            return cells[np.argsort(cells.t_ns, kind="stable")]
        layout = scan.layout
        place = (layout.robot_id, layout.session_id, layout.stream)
        self._check(scan, await self._lod.count(*place, window_ns, scan.start_ns, scan.end_ns))
        found = await find(scan, self._lod, window_ns)
        span = found.span
        if span is None:
            return Cells.joined([], len(scan.channels))
        first = max(scan.start_ns, span[0]) // window_ns
        windows = (min(scan.end_ns, span[1] + 1) - 1) // window_ns - first + 1
        return await merged_in(scan, found, (first * window_ns, (first + windows) * window_ns, windows))

    def _check(self, scan: Scan, cells: int) -> None:
        values = cells * len(FIELDS) * len(scan.channels)
        if values > self._config.max_gathered_values:
            raise RangeTooLarge(
                f"the range has some {values} values, {self._config.max_gathered_values} are given at once: "
                "ask for a coarser resolution, for fewer channels or less time"
            )


def _columns(cells: Cells, channel: int) -> list[pa.Array]:
    """The columns of one channel in the order of `FIELDS`; without values only the count."""
    rows = np.ascontiguousarray(cells.values[:, :, channel].T)
    empty = rows[COUNT] == 0
    mask = empty if empty.any() else None
    return [pa.array(rows[COUNT].astype(np.int64)), *(pa.array(row, mask=mask) for row in rows[COUNT + 1 :])]


def _json(query: AggregateQuery, cells: Cells, channels: list[str]) -> bytes:
    start_ns = int(cells.t_ns[0]) if len(cells) else query.times.start_ns
    answer = {
        "stream": query.stream,
        "resolution": query.resolution,
        "start_ns": str(start_ns),
        "offset_ns": (cells.t_ns - start_ns).tolist() if len(cells) else [],
        "end_offset_ns": (cells.t_end_ns - start_ns).tolist() if len(cells) else [],
        "count": cells.count.tolist(),
        "channels": {
            name: dict(zip(FIELDS, map(json_values, _columns(cells, i)), strict=True))
            for i, name in enumerate(channels)
        },
    }
    return msgspec.json.encode(answer)


def _table(cells: Cells, channels: list[str]) -> pa.Table:
    names, columns = ["t_ns", "t_end_ns", "count"], [cells.t_ns, cells.t_end_ns, cells.count]
    arrays = [pa.array(column) for column in columns]
    for i, channel in enumerate(channels):
        names += [f"{field}({channel})" for field in FIELDS]
        arrays += _columns(cells, i)
    return pa.Table.from_arrays(arrays, names=names)
