"""Embeddings in memory: as matrices, by whose they are, kept as long as there is room."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from datamanager.clock import Clock
from datamanager.playback.bounded_cache import BoundedCache
from datamanager.storage.mongo import Document
from datamanager.storage.result_queries import EmbeddingScope, ResultQueries

__all__ = ["EmbeddingCache", "Embeddings", "nearest", "unit_rows"]

_LATE_NS = 60_000_000_000  # a result may be visible so long after the time that it says it was written at
_LATE_S = 5.0  # how often such are looked for; what is simply new is there at once
_KEPT_S = 600.0  # then all is read anew: what was deleted goes
_ROW_BYTES = 48  # of a row besides its vector
_COLD_LOADS = 2  # at the same time

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of one model, in about the order in which they were written.

    Attributes:
        frame_ids: ASCII, shape (n,).
        streams: index into `stream_names`, shape (n,).
        at_ns: when each was written, shape (n,).
        vectors: shape (n, dimension), each of length 1.
        is_cut: whether there are more than these.
        loaded_s: when all of it was read; `late_s` when it was looked for what came late.
    """

    frame_ids: npt.NDArray[np.bytes_]
    streams: npt.NDArray[np.int16]
    stream_names: tuple[str, ...]
    at_ns: npt.NDArray[np.int64]
    vectors: Floats
    is_cut: bool
    loaded_s: float
    late_s: float

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        return self.vectors.nbytes + _ROW_BYTES * len(self.frame_ids) + 1024


class EmbeddingCache:
    """Reads embeddings once, and from then on only what is new.

    Args:
        results: where they are.
        clock: says how old what is kept is.
        max_vectors: the most that are looked at; those written last.
        max_bytes: of memory for all that is kept.
    """

    def __init__(self, results: ResultQueries, clock: Clock, *, max_vectors: int, max_bytes: int) -> None:
        self._results = results
        self._clock = clock
        self._max_vectors = max_vectors
        self._max_bytes = max_bytes
        self._kept: BoundedCache[Embeddings] = BoundedCache(max_bytes)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._cold = asyncio.Semaphore(_COLD_LOADS)

    async def of(self, scope: EmbeddingScope, dimension: int) -> Embeddings:
        """The embeddings of a scope that have this many numbers each.

        Raises:
            RangeTooLarge: it takes MongoDB too long.
        """
        key = repr((scope, dimension))
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            kept = self._kept.get(key)
            if kept is None or not len(kept.at_ns) or self._clock.monotonic_s() - kept.loaded_s > _KEPT_S:
                async with self._cold:
                    found = await self._read(scope, dimension, None)
            else:
                found = await self._refreshed(kept, scope, dimension)
            self._kept.put(key, found, found.weight)
        return found

    def _most(self, dimension: int) -> int:
        return max(1, min(self._max_vectors, self._max_bytes // (4 * dimension + _ROW_BYTES) - 32))

    async def _read(self, scope: EmbeddingScope, dimension: int, since_ns: int | None) -> Embeddings:
        most, begun_s = self._most(dimension), self._clock.monotonic_s()
        names: dict[str, int] = {}
        batches = self._results.embeddings(scope, since_ns=since_ns, limit=most + 1)
        parts = [_of_documents(batch, dimension, names) async for batch in batches]
        whole = await asyncio.to_thread(_concatenated, parts[::-1], dimension, tuple(names), begun_s)
        return _newest(await asyncio.to_thread(_each_once, whole), most)

    async def _refreshed(self, kept: Embeddings, scope: EmbeddingScope, dimension: int) -> Embeddings:
        since_ns, late_s = int(kept.at_ns.max()), kept.late_s
        if self._clock.monotonic_s() - late_s >= _LATE_S:
            since_ns, late_s = since_ns - _LATE_NS, self._clock.monotonic_s()
        fresh = await self._read(scope, dimension, since_ns)
        return _newest(_joined(kept, fresh, since_ns, late_s), self._most(dimension))


def unit_rows(vectors: Sequence[bytes], dimension: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Vectors as rows of length 1, and which of them have a direction; the rows of the others are zeros.

    Args:
        vectors: float32, little-endian, each of `dimension` numbers.
        dimension: how many numbers each has.
    """
    rows = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, dimension).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    is_good = np.isfinite(lengths) & (lengths > 0)
    rows[~is_good] = 0.0
    rows /= np.where(is_good, lengths, 1.0).astype(np.float32)[:, None]
    return rows, is_good


def nearest(
    found: Embeddings, vector: Floats, *, streams: Sequence[str], but: str, limit: int, min_score: float
) -> list[tuple[str, float]]:
    """(frame_id, cosine similarity) of the frames most like a vector of length 1, the most similar first.

    Args:
        found: among which.
        vector: shape (dimension,).
        streams: of these streams alone; of all when empty.
        but: not this frame.
        limit: how many at most.
        min_score: of at least this similarity.
    """
    scores = found.vectors @ vector
    is_wanted = scores >= np.float32(min_score)
    is_wanted &= found.frame_ids != but.encode()
    if streams:
        codes = [i for i, name in enumerate(found.stream_names) if name in streams]
        is_wanted &= np.isin(found.streams, codes)
    places = np.flatnonzero(is_wanted)
    if len(places) > limit:
        places = places[np.argpartition(-scores[places], limit - 1)[:limit]]
    places = places[np.argsort(-scores[places], kind="stable")]
    return [(found.frame_ids[i].decode(), float(scores[i])) for i in places]


def _of_documents(batch: Sequence[Document], dimension: int, names: dict[str, int]) -> Embeddings:
    """One batch, turned: it comes with what was written last first."""
    rows = [d for d in reversed(batch) if len(d["vector"]) == 4 * dimension]
    vectors, is_good = unit_rows([d["vector"] for d in rows], dimension)
    return Embeddings(
        np.array([d["frame_id"].encode("ascii", "replace") for d in rows], np.bytes_)[is_good],
        np.array([names.setdefault(d["stream"], len(names)) for d in rows], np.int16)[is_good],
        (),
        np.array([d["at_ns"] for d in rows], np.int64)[is_good],
        vectors[is_good],
        is_cut=False,
        loaded_s=0.0,
        late_s=0.0,
    )


def _concatenated(parts: Sequence[Embeddings], dimension: int, names: tuple[str, ...], loaded_s: float) -> Embeddings:
    if not parts:
        nothing = np.empty((0, dimension), np.float32)
        at_ns = np.empty(0, np.int64)
        return Embeddings(np.empty(0, "S1"), np.empty(0, np.int16), names, at_ns, nothing, False, loaded_s, loaded_s)
    return Embeddings(
        np.concatenate([part.frame_ids for part in parts]),
        np.concatenate([part.streams for part in parts]),
        names,
        np.concatenate([part.at_ns for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        is_cut=False,
        loaded_s=loaded_s,
        late_s=loaded_s,
    )


def _joined(kept: Embeddings, fresh: Embeddings, since_ns: int, late_s: float) -> Embeddings:
    """What was kept, and behind it what is new of what was read since."""
    new = ~np.isin(fresh.frame_ids, kept.frame_ids[kept.at_ns >= since_ns])
    if not new.any():
        return replace(kept, late_s=late_s)
    names = {name: i for i, name in enumerate(kept.stream_names)}
    codes = np.array([names.setdefault(name, len(names)) for name in fresh.stream_names], np.int16)
    added = _picked(replace(fresh, streams=codes[fresh.streams]), new)
    joined = _concatenated([kept, added], kept.vectors.shape[1], tuple(names), kept.loaded_s)
    return replace(joined, is_cut=kept.is_cut, late_s=late_s)


def _each_once(found: Embeddings) -> Embeddings:
    """A frame that two rules had looked at by the same model stands there once."""
    _, places = np.unique(found.frame_ids, return_index=True)
    return found if len(places) == len(found.frame_ids) else _picked(found, np.sort(places))


def _newest(found: Embeddings, most: int) -> Embeddings:
    """At most so many, those at the end."""
    if len(found.frame_ids) <= most:
        return found
    return replace(_picked(found, slice(-most, None)), is_cut=True)


def _picked(found: Embeddings, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Embeddings:
    return replace(
        found,
        frame_ids=found.frame_ids[places],
        streams=found.streams[places],
        at_ns=found.at_ns[places],
        vectors=found.vectors[places],
    )
