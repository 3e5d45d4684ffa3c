"""Answers a range query: samples as they came, or at most `max_points` buckets of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pyarrow as pa

from datamanager.config import PlaybackConfig
from datamanager.errors import RangeTooLarge
from datamanager.playback.buckets import bucket_schema, bucketed, numeric_of
from datamanager.playback.params import TimeRange, parse_int
from datamanager.playback.range_formats import check_format, encode_range, is_gathered, only
from datamanager.playback.scan import Scan, load_layout
from datamanager.storage.lod import Lod
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["RangeQuery", "RangeReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeQuery:
    """What is asked for.

    Attributes:
        channels: none is all.
        max_points: as the query has it; None is every sample.
        format: one of `range_formats.FORMATS`.
    """

    robot_id: str
    session_id: str
    stream: str
    times: TimeRange
    channels: list[str]
    max_points: str | None
    format: str


class RangeReader:
    """Reads ranges."""

    def __init__(self, streams: Streams, telemetry: Telemetry, lod: Lod, config: PlaybackConfig) -> None:
        self._streams = streams
        self._telemetry = telemetry
        self._lod = lod
        self._config = config

    async def read(self, query: RangeQuery) -> tuple[str, AsyncIterator[bytes]]:
        """The media type and the body's pieces. Closing the iterator stops the reading.

        Raises:
            NotFound: there is no such stream or channel.
            Refused: the query is malformed, or the stream has no samples.
            RangeTooLarge: JSON and MessagePack cannot gather that much.
            MongoUnavailable: MongoDB does not answer.
        """
        check_format(query.format)
        layout = await load_layout(self._streams, query.robot_id, query.session_id, query.stream)
        channels = layout.select(query.channels)
        if query.max_points is not None:
            channels = numeric_of(layout.types, channels)
        start_ns, end_ns = query.times.start_ns, query.times.end_ns
        scan = Scan(self._telemetry, layout, start_ns, end_ns, channels)
        schema, tables = await self._tables(scan, query)
        return encode_range(query.format, query.stream, schema, tables, start_ns=start_ns)

    async def _tables(self, scan: Scan, query: RangeQuery) -> tuple[pa.Schema, AsyncIterator[pa.Table]]:
        if query.max_points is not None:
            most = self._config.max_points
            max_points = parse_int(query.max_points, "max_points", default=most, most=most)
            return bucket_schema(scan.channels), only(await bucketed(scan, self._lod, max_points))
        index = await scan.index()
        values = index.samples * len(scan.schema)
        if is_gathered(query.format) and values > self._config.max_gathered_values:
            raise RangeTooLarge(
                f"the range has up to {values} values, {query.format} takes {self._config.max_gathered_values}: "
                "ask for arrow, ndjson or csv, for fewer channels or less time, or for max_points"
            )
        return scan.schema, scan.tables(index)
