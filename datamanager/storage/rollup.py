"""Takes the statistics of new blocks into a stream's rollups, so that a day is drawn from some hundred documents.

Each part of the work may be done by two at once, and ended at any point: a chunk says which generations it holds, is
replaced only if nobody else has done so, and is done anew if somebody has.
"""

import asyncio

import numpy as np
import pyarrow as pa

from datamanager.storage.blocks import SYSTEM_COLUMNS, decode_batch
from datamanager.storage.cells import Cells, Ints, cells_of_blocks, in_channels, merged
from datamanager.storage.doubled import doubled, ranges_of
from datamanager.storage.jobs import Job
from datamanager.storage.lod import CHUNK_CELLS, LEVELS_NS, MAX_CHANNELS, Chunk, Lod, LodState
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.sessions import Streams
from datamanager.storage.statistics import numeric_channels, pack_columns
from datamanager.storage.telemetry import Telemetry, cut_generations

__all__ = ["ROLLUP_JOB", "Part", "Rollup", "rollup_job"]

ROLLUP_JOB = "rollup"
_PART_BLOCKS = 4000
_BATCH_BYTES = 8_000_000
_TRIES = 20
_FAR_NS = 600_000_000_000  # blocks further apart are looked around each by itself


def rollup_job(robot_id: str, session_id: str) -> Job:
    """The job of rolling up a session."""
    return Job(kind=ROLLUP_JOB, key=f"{robot_id}/{session_id}", priority="low")


class Part:
    """Blocks of some generations of one stream, as cells.

    Attributes:
        since, before: the generations, half-open.
        channels: their channels with numbers, sorted.
        cells: one for each block.
        generations: int64 [cells].
        documents: the statistics document behind each cell.
    """

    def __init__(
        self, since: int, before: int, documents: list[Document], schemas: dict[str, pa.Schema], state: LodState
    ) -> None:
        self.since, self.before, self.state = since, before, state
        documents.sort(key=lambda d: d["schema"])  # as `cells_of_blocks` gives them
        self.documents = documents
        used = {d["schema"] for d in documents}
        self.channels = sorted({name for schema in used for name in numeric_channels(schemas[schema])})
        self.cells = cells_of_blocks(documents, schemas, self.channels)
        self.generations = np.array([d["m"]["generation"] for d in documents], np.int64)

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and the last sample."""
        return (int(self.cells.t_ns.min()), int(self.cells.t_end_ns.max())) if self.documents else None


class Rollup:
    """Rolls up one stream."""

    def __init__(self, telemetry: Telemetry, streams: Streams, lod: Lod) -> None:
        self._telemetry = telemetry
        self._streams = streams
        self._lod = lod

    async def run(self, robot_id: str, session_id: str, stream: str, goal: int) -> int:
        """Takes in all generations below `goal`, which must be complete.

        Returns:
            How many blocks this call took in.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        taken = 0
        place = (robot_id, session_id, stream)
        while True:
            state = await self._lod.state(*place)
            if state is None or state.upto >= goal:
                return taken
            generations = await self._telemetry.generations(*place, since=state.upto, before=goal)
            for before in cut_generations(generations, goal, _PART_BLOCKS):
                part = await self.part(place, state, before)
                if part is None:
                    return taken
                for level_ns in LEVELS_NS:
                    await self.merge(place, part, level_ns)
                if not await self._lod.advance(*place, state, before, part.span):
                    break  # somebody else did: where to go on from has to be looked up
                taken += len(part.documents)
                state = LodState(before)

    async def part(self, place: tuple[str, str, str], state: LodState, before: int) -> Part | None:
        """The blocks of the generations from `state.upto` to `before`; None for a stream that has no rollups."""
        stream = await self._streams.get(*place)
        if stream is None or len(stream["channels"]) > MAX_CHANNELS:
            return None
        written = await self._telemetry.statistics_written(*place, since=state.upto, before=before)
        schemas = {s["hash"]: pa.ipc.read_schema(pa.py_buffer(s["ipc"])) for s in stream["schemas"]}
        documents = await self._each_once(place, written, state.upto, schemas)
        return await asyncio.to_thread(Part, state.upto, before, documents, schemas, state)

    async def _each_once(
        self, place: tuple[str, str, str], written: list[Document], since: int, schemas: dict[str, pa.Schema]
    ) -> list[Document]:
        """Statistics in which no sample counts that an earlier block holds."""
        known = [d for span in _spans(written) for d in await self._before(place, span, since)]
        ids = {d["block"] for d in known}
        fresh = list({d["block"]: d for d in written if d["block"] not in ids}.values())
        drops = doubled(fresh + known)
        kept = [d for i, d in enumerate(fresh) if i not in drops]
        for i, document in enumerate(fresh):
            if i in drops and (rest := await self._without(place, document, drops[i], schemas)) is not None:
                kept.append(rest)
        return kept

    async def _before(self, place: tuple[str, str, str], span: tuple[int, int], generation: int) -> list[Document]:
        if not generation:
            return []
        start_ns, end_ns = span
        return await self._telemetry.statistics(
            *place, start_ns=max(0, start_ns), end_ns=end_ns, packed=False, before_generation=generation
        )

    async def _without(
        self,
        place: tuple[str, str, str],
        document: Document,
        drops: list[tuple[int, int]],
        schemas: dict[str, pa.Schema],
    ) -> Document | None:
        """The statistics of what a block holds besides some numbers; None when that is nothing."""
        t_ns = document["t_ns"]
        found = await self._telemetry.blocks(*place, start_ns=t_ns, end_ns=t_ns + 1, reaching_ns=0)
        block = next((b for b in found if b["block"] == document["block"]), None)
        if block is None:
            return None
        batch = decode_batch(block["data"], schemas[block["schema"]])
        seq = batch.column(1).to_numpy()
        keep = np.ones(len(seq), bool)
        for first, last in drops:
            keep &= (seq < first) | (seq > last)
        if not keep.any():
            return None
        batch = batch.filter(pa.array(keep))
        times = batch.column(0).to_numpy()
        rest = {"t_ns": int(times[0]), "t_end_ns": int(times[-1]), "n": batch.num_rows}
        # It stays in the window where its block begins: that is where a reader who opens a cell looks for it.
        rest["begins_ns"] = t_ns
        return document | rest | {"v": pack_columns(batch.columns[SYSTEM_COLUMNS:])}

    async def merge(self, place: tuple[str, str, str], part: Part, level_ns: int) -> None:
        """Takes a part into the chunks of one level; those that have it already stay as they are."""
        begins = np.array([d.get("begins_ns", d["t_ns"]) for d in part.documents], np.int64)
        windows = begins // level_ns
        order = np.argsort(windows, kind="stable")
        numbers, starts = np.unique(windows[order] // CHUNK_CELLS, return_index=True)
        groups = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)) if len(numbers) else {}
        step = max(1, _BATCH_BYTES // (CHUNK_CELLS * 48 * max(1, len(part.channels))))
        todo = list(groups)
        for at in range(0, len(todo), step):
            await self._merge_some(place, part, level_ns, windows, {n: groups[n] for n in todo[at : at + step]})

    async def _merge_some(
        self, place: tuple[str, str, str], part: Part, level_ns: int, windows: Ints, groups: dict[int, Ints]
    ) -> None:
        for _ in range(_TRIES):
            there = await self._lod.numbered(*place, level_ns, groups)
            chunks = await asyncio.to_thread(_grown, part, level_ns, windows, groups, there)
            if not chunks or await self._lod.put(*place, chunks):
                return
        raise RuntimeError(f"others were faster {_TRIES} times in a row")


def _spans(documents: list[Document]) -> list[tuple[int, int]]:
    """Half-open times in which blocks may begin that hold the same samples as some of these."""
    spans: list[tuple[int, int]] = []
    longest_ns = max((d["t_end_ns"] - d["t_ns"] for d in documents), default=0)
    reach_ns = max(longest_ns, 2_000_000_000)
    for first_ns, last_ns in sorted((d["t_ns"] - reach_ns, d["t_end_ns"] + 1) for d in documents):
        if spans and first_ns <= spans[-1][1] + _FAR_NS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last_ns))
        else:
            spans.append((first_ns, last_ns))
    return spans


def _grown(
    part: Part, level_ns: int, windows: Ints, groups: dict[int, Ints], there: dict[int, Chunk]
) -> list[tuple[Chunk, int | None]]:
    """The chunks with what they lack, each with the `upto` of the one it comes from."""
    grown: list[tuple[Chunk, int | None]] = []
    for number, places in groups.items():
        chunk = there.get(number)
        if chunk is not None and chunk.upto >= part.before:
            continue
        if chunk is not None and chunk.upto > part.since:
            places = places[part.generations[places] >= chunk.upto]  # noqa: PLW2901  # the rest is in it
        grown.append((_merged_chunk(part, level_ns, number, windows, places, chunk), chunk.upto if chunk else None))
    return grown


def _merged_chunk(part: Part, level_ns: int, number: int, windows: Ints, places: Ints, chunk: Chunk | None) -> Chunk:
    channels = part.channels if chunk is None else sorted({*part.channels, *chunk.channels})
    parts = [_spread(part.cells[places], part.channels, channels)]
    numbers = [windows[places]]
    seqs = {} if chunk is None else chunk.seqs
    if chunk is not None:
        parts.append(_spread(chunk.cells, chunk.channels, channels))
        numbers.append(chunk.windows)
    for i in places:
        document = part.documents[i]
        if not document["auto"]:
            held = seqs.setdefault(document["producer"], RangeSet())
            for first, last in ranges_of(document):
                held.add(first, last)
    all_numbers = np.concatenate(numbers)
    cells = Cells.joined(parts, len(channels))
    return Chunk(
        level_ns=level_ns,
        number=number,
        upto=part.before,
        channels=channels,
        cells=merged(cells, all_numbers) if len(cells) else cells,
        windows=np.unique(all_numbers),
        seqs=seqs,
    )


def _spread(cells: Cells, mine: list[str], channels: list[str]) -> Cells:
    return Cells(cells.t_ns, cells.t_end_ns, cells.count, in_channels(cells.values, mine, channels))
