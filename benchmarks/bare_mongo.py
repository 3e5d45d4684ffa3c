"""What one would do without a data manager: one document a sample in a time-series collection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

from benchmarks.sources import CHANNELS, Columnar

__all__ = ["BATCH", "bare_collection", "bare_inserts", "sample_documents"]

BATCH = 1000  # documents in one call: more gains nothing
_SERIES = {"timeField": "t", "metaField": "m", "granularity": "seconds"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Documents = Collection[dict[str, Any]]


@contextmanager
def bare_collection(url: str, database: str) -> Iterator[Documents]:
    """A time-series collection whose writes are journaled, like those of the server; dropped with its database.

    Args:
        url: of MongoDB.
        database: that nobody else uses.
    """
    with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
        try:
            yield client[database].create_collection(
                "samples", timeseries=_SERIES, write_concern=WriteConcern(w="majority", j=True)
            )
        finally:
            client.drop_database(database)


def sample_documents(source: Columnar, first: int, batches: int) -> list[dict[str, Any]]:
    """One document for each sample of these batches."""
    return [
        {
            "t": _EPOCH + timedelta(microseconds=t_ns / 1000),
            "m": {"robot": "r"},
            **dict(zip(CHANNELS, row, strict=True)),
        }
        for number in range(first, first + batches)
        for t_ns, row in zip(source.times_ns(number).tolist(), source.values(number).T.tolist(), strict=True)
    ]


def bare_inserts(url: str, database: str, seconds: float) -> float:
    """Samples a second of `insert_many`; the time that making documents takes is not counted."""
    source = Columnar("bare", time.time_ns())
    each = BATCH // 100
    spent_s, calls = 0.0, 0
    with bare_collection(url, database) as collection:
        collection.insert_many(sample_documents(source, 0, each), ordered=False)
        while spent_s < seconds:
            documents = sample_documents(source, each * (calls + 1), each)
            began_s = time.perf_counter()
            collection.insert_many(documents, ordered=False)
            spent_s += time.perf_counter() - began_s
            calls += 1
    return calls * BATCH / spent_s
