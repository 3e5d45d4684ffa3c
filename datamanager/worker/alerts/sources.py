"""What rules are held against: the new samples of a stream since a position, of one channel, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datamanager.storage.alert_states import Place
from datamanager.storage.follow import Follower, NewBlock, Position, begin_at
from datamanager.storage.mongo import Document
from datamanager.storage.result_values import ResultValues

__all__ = ["BlockSource", "Fresh", "ResultSource", "Source", "source_of"]

_BLOCKS = 32  # of one reading: 4 MB each at the most, 100 KB as a rule
_RESULTS = 1000
# Blocks join a generation for a minute: what belongs to an older one when a rule is put may still be under way.
_GENERATION_S = 90


@dataclass(frozen=True, slots=True)
class Fresh:
    """What was read.

    Attributes:
        t_ns: int64, times of the samples.
        values: float64, NaN where there is none.
        position: where to read on; that which was given when there was nothing.
        rows: how many samples were read, whether with a value or without.
    """

    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    position: Any
    rows: int


class Source(Protocol):
    """Reads one stream; several rules at the same position cost one reading."""

    async def read(self, channel: str, position: Any, since_ns: int) -> Fresh:
        """The next samples.

        Args:
            channel: which values.
            position: where the reading before left off; None: with what came in from `since_ns` on.
            since_ns: when the rule was put, by the server's clock.
        """
        ...


class BlockSource:
    """Blocks of a time_series stream."""

    def __init__(self, follower: Follower, place: Place) -> None:
        self._follower = follower
        self._place = place
        self._read: list[tuple[Position, list[NewBlock], Position]] = []

    async def read(self, channel: str, position: Any, since_ns: int) -> Fresh:
        """As `Source.read`; a position is one of `Follower`."""
        if position is None:
            position = begin_at(since_ns // 1_000_000_000 - _GENERATION_S)
        blocks, after = await self._blocks(position)
        t_ns = [np.asarray(b.batch.column(0).to_numpy(), np.int64) for b in blocks]
        values = [_floats(b.batch, channel) for b in blocks]
        rows = sum(len(some) for some in t_ns)
        if not rows:
            return Fresh(np.empty(0, np.int64), np.empty(0, np.float64), after, 0)
        return Fresh(np.concatenate(t_ns), np.concatenate(values), after, rows)

    async def _blocks(self, position: Position) -> tuple[list[NewBlock], Position]:
        for before, blocks, after in self._read:
            if before == position:
                return blocks, after
        blocks, after = await self._follower.new_blocks(*self._place, position, _BLOCKS)
        self._read = [*self._read[-1:], (position, blocks, after)]  # the last two, for rules that go on side by side
        return blocks, after


class ResultSource:
    """Results of a detector, and of whatever else becomes records: in the order of their numbers."""

    def __init__(self, results: ResultValues, place: Place) -> None:
        self._results = results
        self._place = place

    async def read(self, channel: str, position: Any, since_ns: int) -> Fresh:
        """As `Source.read`; a position is the number of the last result."""
        found = await self._results.after(self._place, position, since_ns, _RESULTS)
        t_ns = np.array([int(d["t_ns"]) for d in found], np.int64)
        values = np.array([_value(d, channel) for d in found], np.float64)
        return Fresh(t_ns, values, int(found[-1]["feed"]["seq"]) if found else position, len(found))


def source_of(described: Document, follower: Follower, results: ResultValues) -> Source | None:
    """The source for a stream as `streams` describes it; None for a kind that has no values."""
    place = (described["robot_id"], described["session_id"], described["stream"])
    if described["kind"] == "time_series":
        return BlockSource(follower, place)
    return ResultSource(results, place) if described["kind"] == "json" else None


def _floats(batch: pa.RecordBatch, channel: str) -> npt.NDArray[np.float64]:
    """A channel as float64: booleans as 0 and 1; NaN where there is no value, and all of it where it is words or not there."""
    at = batch.schema.get_field_index(channel)
    if at < 0:
        return np.full(batch.num_rows, np.nan)
    column = batch.column(at)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.full(batch.num_rows, np.nan)
    values: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _value(result: Mapping[str, Any], channel: str) -> float:
    """A value of a result; of a class that was not seen the count is 0."""
    if result["status"] != "ok":
        return np.nan
    head, dot, rest = channel.partition(".")
    value = result["values"].get(head)
    if dot:
        value = value.get(rest.replace(".", "_")) if isinstance(value, dict) else None
        if value is None and head == "counts":
            value = 0
    return float(value) if isinstance(value, int | float) else np.nan
