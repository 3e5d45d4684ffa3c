"""Runs of frames that hardly differ: which frames of a stream need not be looked at, stored for long, or labelled."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import NotFound, Refused
from datamanager.playback.embeddings import unit_rows
from datamanager.playback.pages import DEFAULT_LIMIT
from datamanager.playback.params import encode_cursor, parse_int, parse_number, parse_place, parse_range
from datamanager.playback.plain_json import timestamp_s
from datamanager.playback.record_items import RecordItems, TierUrls
from datamanager.playback.similar import NoEmbedding
from datamanager.storage.model_documents import version_of
from datamanager.storage.models import Models
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.result_queries import ResultQueries
from datamanager.storage.session_queries import SessionQueries

__all__ = ["NearDuplicates", "NearDuplicatesPage", "NearDuplicatesRun", "Run", "RunFinder"]

_THRESHOLD = 0.98  # of a model whose manifest says nothing of it
_FIRST_STEP = 8

Place = tuple[int, str]
"""(t_ns, `_id`) of a result."""


class NearDuplicatesRun(msgspec.Struct, frozen=True, kw_only=True):
    """Frames one after the other that are all like the first.

    Attributes:
        frame_id: the first, which stands for all of them; the addresses are its.
        last_frame_id: the last.
        t_ns, t_end_ns: of the first and of the last, Unix nanoseconds, as text.
        count: how many frames, the first and the last included.
        min_score: cosine similarity to the first of the one that is least like it.
    """

    frame_id: str
    last_frame_id: str
    t_ns: str
    t_end_ns: str
    timestamp: float
    count: int
    min_score: float
    urls: TierUrls | None


class NearDuplicatesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of two frames and more, ascending in time.

    Attributes:
        output: the result stream that the embeddings are in.
        looked_at: how many embeddings this call looked at.
        next_cursor: leads on from there; null when all was looked at.
    """

    output: str
    threshold: float
    looked_at: int
    items: list[NearDuplicatesRun]
    next_cursor: str | None


class _Manifest(msgspec.Struct, frozen=True):
    """As much of a manifest as is needed here."""

    options: dict[str, Any] = {}


@dataclass(slots=True)
class Run:
    """Frames of a run so far.

    Attributes:
        first, last: their results.
        before: place of the result before the first; None where the first is the first that was looked at.
        vector: of the first.
    """

    first: Document
    last: Document
    before: Place | None
    vector: npt.NDArray[np.float32]
    count: int = 1
    min_score: float = 1.0


class RunFinder:
    """Finds runs in embeddings that come in batches, ascending in time.

    A frame is of a run when it is like the first of the run, and not only like the one before it: so a slow turn of a
    camera does not make one run of all that it saw.

    Args:
        threshold: least cosine similarity.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = np.float32(threshold)
        self.open: Run | None = None
        self._last: Document | None = None

    def feed(self, batch: Sequence[Document]) -> list[Run]:
        """Takes a batch, and gives the runs that ended in it; what is like nothing beside it makes none."""
        return [run for part in _alike(batch) for run in self._feed(part) if run.count > 1]

    def _feed(self, part: Sequence[Document]) -> Iterator[Run]:
        """Embeddings of one model and dimension."""
        rows, _ = unit_rows([document["vector"] for document in part], len(part[0]["vector"]) // 4)
        begins = np.flatnonzero(np.einsum("ij,ij->i", rows[:-1], rows[1:]) >= self._threshold)
        run, at, step = self.open, 0, _FIRST_STEP
        if run is not None and not _are_alike(run.first, part[0]):
            yield run
            run = None
        while at < len(part):
            if run is None:
                following = begins[np.searchsorted(begins, at) :]
                at = int(following[0]) if len(following) else len(part) - 1  # of the last the next is not known yet
                before = part[at - 1] if at else self._last
                run = Run(part[at], part[at], None if before is None else _place(before), rows[at])
                at, step = at + 1, _FIRST_STEP
                continue
            scores = rows[at : at + step] @ run.vector
            others = np.flatnonzero(scores < self._threshold)
            n = int(others[0]) if len(others) else len(scores)
            if n:
                run.count += n
                run.min_score = min(run.min_score, float(scores[:n].min()))
                run.last = part[at + n - 1]
                at += n
            step *= 2
            if len(others):
                yield run
                run = None
        self.open, self._last = run, part[-1]


class NearDuplicates:
    """Answers `…/near-duplicates`.

    Args:
        sessions: tell a session that is not there.
        results: where embeddings are.
        records: find the frames.
        items: make their addresses.
        models: say from which similarity on their embeddings mean the same.
        max_vectors: the most that one call looks at.
        page_limit: the most runs of one call.
    """

    def __init__(
        self,
        sessions: SessionQueries,
        results: ResultQueries,
        records: RecordQueries,
        items: RecordItems,
        models: Models,
        *,
        max_vectors: int,
        page_limit: int,
    ) -> None:
        self._sessions = sessions
        self._results = results
        self._records = records
        self._items = items
        self._models = models
        self._max_vectors = max_vectors
        self._page_limit = page_limit

    async def page(
        self,
        robot_id: str,
        session_id: str,
        *,
        stream: str | None,
        threshold: str | None,
        start: str | None,
        end: str | None,
        limit: str | None,
        cursor: str | None,
    ) -> NearDuplicatesPage:
        """A page of runs, ascending in time.

        Raises:
            NotFound: there is no such session.
            NoEmbedding: the stream has no embeddings.
            Refused: a parameter cannot be read; `missing_field` without a stream.
            RangeTooLarge: it takes MongoDB too long.
        """
        if not stream:
            raise Refused("missing_field", "stream must be given: whose frames are compared")
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        given = parse_number(threshold, "threshold", default=_THRESHOLD, least=-1.0, most=1.0)
        span, after = parse_range(start, end), parse_place(cursor)
        any_of_them = await self._results.embedded_stream(robot_id, session_id, stream)
        if any_of_them is None:
            await self._sessions.one(robot_id, session_id)
            raise NoEmbedding(
                f"stream {stream[:200]!r} has no embeddings: add a rule with a model of the task `embed` (POST /enrichments)"
            )
        least = given if threshold is not None else await self._threshold_of(any_of_them)
        finder, runs, looked_at, output = RunFinder(least), list[Run](), 0, any_of_them["output"]
        batches = self._results.embeddings_in_time(
            robot_id,
            session_id,
            output,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            after=after,
            limit=self._max_vectors,
        )
        async with aclosing(batches):
            async for batch in batches:
                looked_at += len(batch)
                runs += await asyncio.to_thread(finder.feed, batch)
                if len(runs) >= count:
                    break
        following = _leave(finder, runs, count, is_cut=looked_at >= self._max_vectors)
        return NearDuplicatesPage(
            output=output,
            threshold=least,
            looked_at=looked_at,
            items=await self._made(runs[:count]),
            next_cursor=None if following is None else encode_cursor(following),
        )

    async def _threshold_of(self, embedded: Document) -> float:
        """`near_duplicate` of the options in the manifest of the model that made these embeddings."""
        try:
            entry = version_of(await self._models.document(embedded["model"]), embedded["version"])
        except NotFound:  # it was removed, and its embeddings are there still
            return _THRESHOLD
        options = msgspec.json.decode(entry["manifest"], type=_Manifest).options if entry is not None else {}
        least = options.get("near_duplicate")
        return float(least) if isinstance(least, int | float) and -1 <= least <= 1 else _THRESHOLD

    async def _made(self, runs: Sequence[Run]) -> list[NearDuplicatesRun]:
        frames = await self._records.frames([run.first["frame_id"] for run in runs]) if runs else {}
        urls = dict(zip(frames, self._items.urls(list(frames.values())), strict=True))
        return [_item(run, urls.get(run.first["frame_id"])) for run in runs]


def _leave(finder: RunFinder, runs: list[Run], count: int, *, is_cut: bool) -> Place | None:
    """Ends the look; where the next one goes on, None where all was looked at. May add the open run to `runs`."""
    is_full = len(runs) >= count
    if not is_full and not is_cut:
        if finder.open is not None and finder.open.count > 1:
            runs.append(finder.open)
        return None
    if is_full:
        return _place(runs[count - 1].last)
    run = finder.open
    if run is None or run.before is not None:  # the open run is begun again by the next look
        return None if run is None else run.before
    if run.count > 1:  # it is longer than one look
        runs.append(run)
    return _place(run.last)


def _alike(batch: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Parts of one model, version and dimension."""
    begin = 0
    for at in range(1, len(batch) + 1):
        if at == len(batch) or not _are_alike(batch[begin], batch[at]):
            yield batch[begin:at]
            begin = at


def _are_alike(one: Document, other: Document) -> bool:
    return (one["model"], one["version"], len(one["vector"])) == (
        other["model"],
        other["version"],
        len(other["vector"]),
    )


def _place(document: Document) -> Place:
    return int(document["t_ns"]), document["_id"]


def _item(run: Run, urls: TierUrls | None) -> NearDuplicatesRun:
    return NearDuplicatesRun(
        frame_id=run.first["frame_id"],
        last_frame_id=run.last["frame_id"],
        t_ns=str(run.first["t_ns"]),
        t_end_ns=str(run.last["t_ns"]),
        timestamp=timestamp_s(run.first["t_ns"]),
        count=run.count,
        min_score=round(run.min_score, 6),
        urls=urls,
    )
