"""What every stream of a session last said at one time."""

import asyncio
from typing import Any

import msgspec

from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.playback.record_items import RecordItem, RecordItems
from datamanager.playback.samples_port import SampleReader
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.session_queries import SessionQueries

__all__ = ["MomentReader", "SampleItem"]

_AT_ONCE = 16  # look-ups one request has under way


class SampleItem(msgspec.Struct, frozen=True, kw_only=True):
    """One sample; `values` are its channels, with text for numbers that JSON lacks."""

    stream: str
    kind: str
    t_ns: str
    timestamp: float
    values: dict[str, Any]


class MomentReader:
    """Answers `…/at`."""

    def __init__(
        self, sessions: SessionQueries, records: RecordQueries, samples: SampleReader, items: RecordItems
    ) -> None:
        self._sessions = sessions
        self._records = records
        self._samples = samples
        self._items = items

    async def at(self, robot_id: str, session_id: str, streams: list[str], t_ns: int) -> list[RecordItem | SampleItem]:
        """The last record or sample of each stream at or before `t_ns`, by stream; none for one that had none yet.

        Args:
            robot_id: who recorded.
            session_id: which recording run.
            streams: which streams; all of the session when empty.
            t_ns: the moment, Unix nanoseconds.

        Raises:
            NotFound: there is no such session.
        """
        kinds = await self._sessions.kinds(robot_id, session_id)
        wanted = [stream for stream in (streams or kinds) if stream in kinds]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def look_up(stream: str) -> SampleItem | Document | None:
            async with limit:
                if kinds[stream] == "time_series":
                    return await self._sample(robot_id, session_id, stream, t_ns)
                return await self._records.last_at(robot_id, session_id, stream, t_ns)

        found = await asyncio.gather(*(look_up(stream) for stream in wanted))
        records = iter(self._items.items([each for each in found if isinstance(each, dict)]))
        return [next(records) if isinstance(each, dict) else each for each in found if each is not None]

    async def _sample(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> SampleItem | None:
        found = await self._samples.last_at(robot_id, session_id, stream, t_ns)
        if found is None:
            return None
        return SampleItem(
            stream=stream,
            kind="time_series",
            t_ns=str(found.t_ns),
            timestamp=timestamp_s(found.t_ns),
            values=plain(found.values),
        )
