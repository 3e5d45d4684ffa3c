"""How dense a session's streams are over time, without reading their data."""

import asyncio

import msgspec

from datamanager.errors import RangeTooLarge
from datamanager.playback.params import TimeRange, parse_range
from datamanager.playback.samples_port import SampleReader
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.session_queries import SessionQueries

__all__ = ["MAX_BINS", "Timeline", "TimelineReader"]

MAX_BINS = 10_000
_MAX_COUNTS = 2_000_000  # streams times bins: some 6 MB of JSON


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Counts per bin.

    Attributes:
        start_ns: where the first bin starts, Unix nanoseconds as text; null in a session without data.
        end_ns: where the last bin ends; what lies there is not counted.
        streams: by stream, how many samples or records each bin holds. One at t stands in bin
            (t - start_ns) * bins // (end_ns - start_ns).
    """

    start_ns: str | None
    end_ns: str | None
    streams: dict[str, list[int]]


class TimelineReader:
    """Answers `…/timeline`."""

    def __init__(self, sessions: SessionQueries, records: RecordQueries, samples: SampleReader) -> None:
        self._sessions = sessions
        self._records = records
        self._samples = samples

    async def read(self, robot_id: str, session_id: str, start: str | None, end: str | None, bins: int) -> Timeline:
        """The timeline of [start, end); of all its data, the last record included, where a bound is not given.

        Raises:
            NotFound: there is no such session.
            Refused: a bound is no time.
            RangeTooLarge: the session has so many streams that fewer bins must be asked for.
        """
        session, kinds = await asyncio.gather(
            self._sessions.one(robot_id, session_id), self._sessions.kinds(robot_id, session_id)
        )
        if len(kinds) * bins > _MAX_COUNTS:
            raise RangeTooLarge(
                f"{len(kinds)} streams with {bins} bins are over {_MAX_COUNTS} counts; ask for fewer bins"
            )
        counts = {stream: [0] * bins for stream in kinds}
        span = _span(session["first_t_ns"], session["last_t_ns"], start, end)
        if span is None:
            return Timeline(start_ns=None, end_ns=None, streams=counts)
        if not span.is_empty:
            ask = (robot_id, session_id, span.start_ns, span.end_ns, bins)
            for found in await asyncio.gather(self._records.counts(*ask), self._samples.counts(*ask)):
                counts |= found
        return Timeline(start_ns=str(span.start_ns), end_ns=str(span.end_ns), streams=counts)


def _span(first_t_ns: int | None, last_t_ns: int | None, start: str | None, end: str | None) -> TimeRange | None:
    if first_t_ns is not None and last_t_ns is not None:
        return parse_range(start, end, TimeRange(first_t_ns, last_t_ns + 1))
    return parse_range(start, end) if start is not None and end is not None else None
