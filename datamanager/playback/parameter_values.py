"""Parameters at one time, and what has changed between two times or two sessions."""

import itertools
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.errors import NotFound, RangeTooLarge, Refused
from datamanager.kinds.parameters.replay import apply_all, difference
from datamanager.kinds.source import BytesSource, Source
from datamanager.playback.contents import Contents
from datamanager.playback.plain_json import timestamp_s
from datamanager.storage.mongo import Document
from datamanager.storage.parameter_queries import ParameterQueries
from datamanager.storage.session_queries import SessionQueries

__all__ = ["ParameterDifference", "ParameterReader", "ParameterValues", "Wanted"]

_MOST_RECORDS = 10_000
_MOST_BYTES = 64 << 20
_BATCH_RECORDS = 500
_BATCH_BYTES = 2 << 20
_HERE_BYTES = 32 * 1024


class ParameterValues(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters at one time.

    Attributes:
        t_ns: when they came to be so: the time of the last record that counts; null when there is none yet.
        records: how many records were put together, from the last one that replaced all before it.
    """

    robot_id: str
    session_id: str
    stream: str
    t_ns: str | None
    timestamp: float | None
    records: int
    values: Any


class ParameterDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from one to the other, by dotted key; a dot within a key is written with a backslash before it."""

    before: ParameterValues
    after: ParameterValues
    added: dict[str, Any]
    removed: dict[str, Any]
    changed: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parameters.

    Attributes:
        stream: which stream; None where the session has only one of that kind.
        t_ns: at this time.
    """

    robot_id: str
    session_id: str
    stream: str | None
    t_ns: int


@dataclass(frozen=True, slots=True)
class _State:
    """The JSON of values, and what it was made of."""

    stream: str
    data: bytes
    t_ns: int | None
    records: int


class ParameterReader:
    """Replays parameters."""

    def __init__(self, sessions: SessionQueries, queries: ParameterQueries, contents: Contents) -> None:
        self._sessions = sessions
        self._queries = queries
        self._contents = contents

    async def at(self, wanted: Wanted) -> ParameterValues:
        """Parameters at one time.

        Raises:
            NotFound: there is no such session or stream.
            RangeTooLarge: too many records would have to be put together.
            Refused: the stream is of another kind, or is not named among several.
        """
        state = await self._replay(wanted)
        return _told(wanted, state, msgspec.Raw(state.data))

    async def difference(self, before: Wanted, after: Wanted) -> ParameterDifference:
        """What differs between two.

        Raises:
            NotFound: there is no such session or stream.
            RangeTooLarge: too many records would have to be put together, or too much differs.
            Refused: as for `at`.
        """
        old, new = await self._replay(before), await self._replay(after)
        if len(old.data) + len(new.data) <= _HERE_BYTES:
            parts = difference(old.data, new.data)
        else:
            parts = await self._contents.call(difference, old.data, new.data)
        return ParameterDifference(before=_told(before, old, None), after=_told(after, new, None), **parts)

    async def _replay(self, wanted: Wanted) -> _State:
        stream = await self._stream(wanted)
        place = (wanted.robot_id, wanted.session_id, stream)
        start_ns = await self._queries.replaced_at(*place, wanted.t_ns)
        state, t_ns, count, size, applied = b"{}", None, 0, 0, 0
        batch: list[Document] = []
        async for document in self._queries.between(*place, start_ns, wanted.t_ns, _MOST_RECORDS + 1):
            count, size = count + 1, size + document["size_bytes"]
            if count > _MOST_RECORDS or size > _MOST_BYTES:
                raise RangeTooLarge(
                    f"more than {_MOST_RECORDS} records or {_MOST_BYTES} bytes of parameters since the last that replaced all"
                )
            # Records of one time belong together: their order is that of their numbers.
            is_full = len(batch) >= _BATCH_RECORDS or size - applied >= _BATCH_BYTES
            if batch and is_full and document["t_ns"] != batch[-1]["t_ns"]:
                state, batch, applied = await self._apply(state, batch), [], size
            batch.append(document)
            t_ns = int(document["t_ns"])
        return _State(stream, await self._apply(state, batch), t_ns, count)

    async def _apply(self, state: bytes, batch: list[Document]) -> bytes:
        if not batch:
            return state
        patches: list[tuple[str, Source]] = []
        for _, same in itertools.groupby(batch, key=lambda d: d["t_ns"]):
            ordered = sorted(same, key=lambda d: (d["producer"], d["seq"]))
            patches += [(d["parameters"]["mode"], self._contents.source(d)) for d in ordered]
        size = len(state) + sum(source.size for _, source in patches)
        if size <= _HERE_BYTES and all(isinstance(source, BytesSource) for _, source in patches):
            return apply_all(state, patches)
        return await self._contents.call(apply_all, state, patches)

    async def _stream(self, wanted: Wanted) -> str:
        kinds = await self._sessions.kinds(wanted.robot_id, wanted.session_id)
        named = [name for name, kind in kinds.items() if kind == "parameters"]
        if wanted.stream is None:
            if len(named) == 1:
                return named[0]
            found = f"these: {', '.join(named[:10])}" if named else "none"
            raise Refused("missing_field", f"the query names no stream; of parameters the session has {found}")
        if wanted.stream not in kinds:
            raise NotFound(f"the session has no stream {wanted.stream[:80]!r}")
        if wanted.stream not in named:
            raise Refused(
                "kind_mismatch", f"stream {wanted.stream!r} is of kind {kinds[wanted.stream]}, not parameters"
            )
        return wanted.stream


def _told(wanted: Wanted, state: _State, values: Any) -> ParameterValues:
    return ParameterValues(
        robot_id=wanted.robot_id,
        session_id=wanted.session_id,
        stream=state.stream,
        t_ns=None if state.t_ns is None else str(state.t_ns),
        timestamp=None if state.t_ns is None else timestamp_s(state.t_ns),
        records=state.records,
        values=values,
    )
