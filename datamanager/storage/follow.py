"""New blocks of one time_series stream since a position: each sample once, whatever came late, twice, or of whom.

A position says up to which generation all blocks were handed out, and which ones of later generations were. Nothing is
concluded from times or from a producer's numbers: a late block, a gap that is filled and a second producer are blocks
like any other. A position stays small, for generations close after a minute (ADR 0009) and are then one number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from datamanager.clock import Clock
from datamanager.storage.blocks import decode_batch
from datamanager.storage.doubled import ranges_of
from datamanager.storage.floors import Floors
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry, cut_generations

__all__ = ["Follower", "NewBlock", "Position", "begin_at"]

Position = dict[str, Any]
"""`upto`: all of earlier generations was handed out; `seen`: [[generation, ids of blocks, 8 bytes each], ...] of what was
handed out besides; `entries`: how often writers had entered the session when all of it was handed out and nobody wrote, or
-1. Made of numbers, bytes and lists, for MessagePack or BSON."""

_BEGINNING: Position = {"upto": 0, "seen": [], "entries": -1}
_FOREVER = 2**62  # a generation that never comes
_LISTED = 4000  # blocks that are listed at once
_WORTH = 64  # blocks of open generations that are worth asking how far those have closed
_FAR_NS = 600_000_000_000  # blocks further apart are fetched each by themselves
_BASE_SPAN_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block, or what is new in it.

    Attributes:
        id: the block's.
        generation: in which it was written: about the Unix second of its arrival.
        t_ns, t_end_ns: times of the first and last sample.
        batch: the columns `t_ns` (int64, ascending), `seq` (int64), then its channels.
    """

    id: str
    producer: str
    generation: int
    t_ns: int
    t_end_ns: int
    batch: pa.RecordBatch


def begin_at(second: int) -> Position:
    """The position before the first block that was written in a Unix second or later, give or take a minute."""
    return {"upto": second, "seen": [], "entries": -1}


class Follower:
    """Follows streams. It keeps nothing itself: whoever follows keeps the position, beside what it made of the blocks."""

    def __init__(self, telemetry: Telemetry, streams: Streams, floors: Floors, clock: Clock) -> None:
        self._telemetry = telemetry
        self._streams = streams
        self._floors = floors
        self._clock = clock

    async def new_blocks(
        self, robot_id: str, session_id: str, stream: str, position: Position | None, limit: int
    ) -> tuple[list[NewBlock], Position]:
        """Up to `limit` blocks that were not handed out yet, ascending by their beginning, and the position after them.

        A sample that an earlier block holds already (the same number of the same producer) is left out; a block of which
        nothing is left is no block. So there may be no blocks, and more of them behind the position: all is handed
        out when the position stays as it was.

        Args:
            robot_id: whose stream.
            session_id: of which session.
            stream: which one; one that is not there has no blocks.
            position: as it was given last; None: the very beginning.
            limit: most blocks to look at.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        place = (robot_id, session_id, stream)
        position = _BEGINNING if position is None else position
        seen = _ids(position)
        listed, before = await self._listed(place, position, seen)
        described = await self._streams.get(*place)  # after its blocks: what they need is in it
        if described is None:
            return [], position
        # A write whose outcome was not known may have been done twice: what bears one id is one block.
        each = {d["block"]: d for d in sorted(listed, key=lambda d: -d["m"]["generation"]) if d["block"] not in seen}
        fresh = sorted(
            each.values(),
            key=lambda d: (d["t_ns"], d["producer"], d["seq_first"], d["block"]),
        )[:limit]
        known = await self._overlapping(place, fresh, described, position["upto"], seen)
        drops = _drops(fresh, known)
        blocks = await self._fetch(place, fresh, drops, described)
        return blocks, _after(position, listed, fresh, before)

    async def settle(self, robot_id: str, session_id: str, stream: str, position: Position) -> Position:
        """The same position, told in fewer words where generations have closed; `entries` tells whether it is the end for now.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        goal = await self._floors.goal(robot_id, session_id, self._now_s())
        if goal is None or goal.generation <= position["upto"]:
            return position
        listed = await self._telemetry.statistics_written(
            robot_id, session_id, stream, since=position["upto"], before=goal.generation, packed=False, limit=_LISTED
        )
        seen = _ids(position)
        if len(listed) == _LISTED or any(d["block"] not in seen for d in listed):
            return position
        entries = goal.entries if goal.is_quiet else -1
        return {**_after(position, listed, [], goal.generation), "entries": entries}

    def _now_s(self) -> int:
        return self._clock.now_ns() // 1_000_000_000 + 1

    async def _listed(
        self, place: tuple[str, str, str], position: Position, seen: set[str]
    ) -> tuple[list[Document], int | None]:
        """Statistics of blocks from the position on, and the generation below which these are all there will be, if known.

        Where there are many, only those of the first generations: a long recording is not listed anew for each step.
        """
        upto = position["upto"]
        before = None
        if len(seen) >= _WORTH:
            goal = await self._floors.goal(*place[:2], self._now_s())
            before = goal.generation if goal is not None and goal.generation > upto else None
        listed = await self._telemetry.statistics_written(
            *place, since=upto, before=_FOREVER, packed=False, limit=_LISTED
        )
        if len(listed) == _LISTED:
            return await self._first_of_many(place, upto, seen)
        return listed, before

    async def _first_of_many(
        self, place: tuple[str, str, str], upto: int, seen: set[str]
    ) -> tuple[list[Document], int | None]:
        """As many generations as it takes to find what was not handed out yet."""
        generations = await self._telemetry.generations(*place, since=upto, before=_FOREVER)
        goal = await self._floors.goal(*place[:2], self._now_s())
        for cut in cut_generations(generations, generations[-1][0] + 1, _LISTED):
            listed = await self._telemetry.statistics_written(*place, since=upto, before=cut, packed=False)
            if any(d["block"] not in seen for d in listed) or cut > generations[-1][0]:
                break
        return listed, cut if goal is not None and cut <= goal.generation else None

    async def _overlapping(
        self, place: tuple[str, str, str], fresh: list[Document], described: Document, upto: int, seen: set[str]
    ) -> list[Document]:
        """What was handed out already and lies at the same times as some of these: a doubled sample has one time."""
        known: dict[str, Document] = {}
        reach_ns = max(described["max_span_ns"], _BASE_SPAN_NS)
        if all(d["auto"] for d in fresh) and not upto:
            return []
        for start_ns, end_ns in _spans(fresh, reach_ns):
            there = await self._telemetry.statistics(*place, start_ns=max(0, start_ns), end_ns=end_ns, packed=False)
            known |= {d["block"]: d for d in there if d["m"]["generation"] < upto or d["block"] in seen}
        return list(known.values())

    async def _fetch(
        self,
        place: tuple[str, str, str],
        fresh: list[Document],
        drops: dict[str, list[tuple[int, int]] | None],
        described: Document,
    ) -> list[NewBlock]:
        wanted = {d["block"]: d for d in fresh if drops.get(d["block"], ()) is not None}
        found: dict[str, Document] = {}
        for start_ns, end_ns in _spans(wanted.values(), 0):
            there = await self._telemetry.blocks(*place, start_ns=start_ns, end_ns=end_ns, reaching_ns=0, named=wanted)
            found |= {d["block"]: d for d in there}
        schemas = {s["hash"]: s["ipc"] for s in described["schemas"]}
        read = {h: pa.ipc.read_schema(pa.py_buffer(schemas[h])) for h in {d["schema"] for d in found.values()}}
        blocks = []
        for name, entry in wanted.items():
            document = found.get(name)  # one that retention took between the two looks is gone
            if document is not None:
                batch = _without(decode_batch(document["data"], read[document["schema"]]), drops.get(name) or ())
                if batch.num_rows:
                    blocks.append(_block(entry, batch))
        return blocks


def _block(entry: Document, batch: pa.RecordBatch) -> NewBlock:
    t_ns = batch.column(0)
    first_ns, last_ns = t_ns[0].as_py(), t_ns[batch.num_rows - 1].as_py()
    return NewBlock(entry["block"], entry["producer"], entry["m"]["generation"], first_ns, last_ns, batch)


def _ids(position: Position) -> set[str]:
    return {ids[at : at + 8].hex() for _, ids in position["seen"] for at in range(0, len(ids), 8)}


def _after(position: Position, listed: list[Document], fresh: list[Document], before: int | None) -> Position:
    """The position once these were handed out; `before`: below it `listed` holds all there will ever be."""
    seen = {generation: bytes(ids) for generation, ids in position["seen"]}
    known = _ids(position) | {d["block"] for d in fresh}
    for document in fresh:
        generation = document["m"]["generation"]
        seen[generation] = seen.get(generation, b"") + bytes.fromhex(document["block"])
    upto = position["upto"]
    if before is not None:
        # What is listed and was not handed out yet holds the position back.
        upto = min([before, *(d["m"]["generation"] for d in listed if d["block"] not in known)])
        upto = max(upto, position["upto"])
    rest = [[generation, ids] for generation, ids in sorted(seen.items()) if generation >= upto]
    return {"upto": upto, "seen": rest, "entries": position["entries"] if not fresh else -1}


def _spans(documents: Iterable[Document], reach_ns: int) -> list[tuple[int, int]]:
    """Half-open times in which blocks begin that lie at the same times as some of these, or, without reach, these."""
    spans: list[tuple[int, int]] = []
    ends = sorted((d["t_ns"] - reach_ns, (d["t_end_ns"] if reach_ns else d["t_ns"]) + 1) for d in documents)
    for first_ns, last_ns in ends:
        if spans and first_ns <= spans[-1][1] + _FAR_NS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last_ns))
        else:
            spans.append((first_ns, last_ns))
    return spans


def _drops(fresh: list[Document], known: list[Document]) -> dict[str, list[tuple[int, int]] | None]:
    """Id of a block to the numbers in it that another block holds that came before it; None: it was handed out already.

    Of two new blocks that of the earlier generation keeps its samples, as everywhere; but what was handed out stays.
    """
    held: dict[str, RangeSet] = {}
    drops: dict[str, list[tuple[int, int]] | None] = {}
    ids = {d["block"] for d in known}
    age = sorted(fresh, key=lambda d: (d["m"]["generation"], d["seq_first"], d["t_ns"], d["block"]))
    for document in [*known, *age]:
        is_new = document["block"] not in ids
        if not document["auto"]:
            ranges = held.setdefault(document["producer"], RangeSet())
            common = [cut for first, last in ranges_of(document) for cut in ranges.common(first, last)]
            if is_new and common:
                drops[document["block"]] = common
            for first, last in ranges_of(document):
                ranges.add(first, last)
    return drops | {d["block"]: None for d in fresh if d["block"] in ids}


def _without(batch: pa.RecordBatch, drops: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    if not drops:
        return batch
    seq = batch.column(1).to_numpy()
    keep = np.ones(len(seq), bool)
    for first, last in drops:
        keep &= (seq < first) | (seq > last)
    return batch.filter(pa.array(keep))
