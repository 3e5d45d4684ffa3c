"""Rows of tables as samples: taken in like any robot's, of a producer that each table is for itself.

The record of a table is durable, and says that its rows are to become a stream, before any of them does. Whatever
process feeds it, and however often it begins anew: a batch of rows bears the same number, of the same producer, so that
what is there already is known again, by the rule that holds for every message (ADR 0010).
"""

from dataclasses import dataclass
from typing import Any

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError, NotFound, Unavailable
from datamanager.ingest.producer import Producer
from datamanager.ingest.sender import Sender
from datamanager.ingest.service import Ingest
from datamanager.ingest.wire import Message
from datamanager.kinds.csv.series import Batches, read_batches
from datamanager.kinds.examiner import Examiner
from datamanager.kinds.source import BytesSource, Source, UrlSource
from datamanager.observability import get_logger
from datamanager.storage.mongo import Document
from datamanager.storage.s3 import S3
from datamanager.storage.series import SeriesStore

__all__ = ["SeriesFeeder"]

_log = get_logger(__name__)
_LOOK_S = 0.5
_AWAY_S = 1.0
_URL_TTL_S = 300
_TURN_S = 10.0  # a table of gigabytes holds no other one up for longer
_VALUE_BYTES = 16  # of memory that a value takes until it is durable, about


@dataclass(slots=True)
class _Progress:
    """How far a table is."""

    at: list[int]
    rows: int
    skipped: int
    refused: int
    error: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there were."""
        return {"rows": self.rows, "skipped": self.skipped, "refused": self.refused}


class SeriesFeeder:
    """Feeds the rows of tables, one table at a time. Run `run` as a task."""

    def __init__(self, ingest: Ingest, store: SeriesStore, s3: S3, examiner: Examiner, clock: Clock) -> None:
        self._ingest = ingest
        self._store = store
        self._s3 = s3
        self._examiner = examiner
        self._clock = clock

    async def run(self) -> None:
        """Feeds until cancelled; what is under way then is gone on with by whoever looks next."""
        while True:
            try:
                document = await self._store.take()
                if document is not None:
                    await self._feed(document)
                    continue
            except Unavailable as error:
                _log.warning("rows wait for a server", error=error.detail[:200])
                await self._clock.sleep(_AWAY_S)
            await self._clock.sleep(_LOOK_S)

    async def _feed(self, document: Document) -> None:
        series = document["series"]
        done = _Progress(list(series["at"]), series["rows"], series["skipped"], series.get("refused", 0))
        try:
            is_ours = await self._take_in(document, done)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this table's: it must not end every server in turn
            detail = error.detail if isinstance(error, DatamanagerError) else repr(error)
            _log.error("the rows of a table cannot be fed", record_id=document["_id"], error=detail[:500])
            done.error, is_ours = detail[:500], True
        if is_ours:
            await self._finish(document, done)

    async def _finish(self, document: Document, done: _Progress) -> None:
        state = "done" if done.error is None else "failed"
        counts = done.counts
        told = {"stream": _stream(document), "state": state, **counts}
        if done.error is not None:
            told["error"] = done.error
        await self._store.finish(document["_id"], {"state": state, "at": done.at, **counts}, told)
        _log.info("rows of a table are a stream", record_id=document["_id"], **told)

    async def _take_in(self, document: Document, done: _Progress) -> bool:
        """Takes in rows that are not there yet; False when these are not all, and another process or turn goes on with the rest."""
        ingest = self._ingest
        sender = Sender(ingest.config, ingest.budget, repeats_allowed=False)
        place = (document["robot_id"], document["session_id"], f"~{document['_id']}")
        producer = await ingest.registry.open(*place, reload=True, reopens=False)
        until_s = self._clock.monotonic_s() + _TURN_S
        try:
            while True:
                series = {**document["series"], "at": done.at}
                batches = await self._examiner.call(read_batches, self._source(document), document["table"], series)
                await self._accept(sender, producer, document, batches, done)
                if batches.next is None:
                    break
                done.at = list(batches.next)
                reached = {"at": done.at, **done.counts}
                if self._clock.monotonic_s() > until_s:  # others have their turn
                    await self._store.give_back(document["_id"], reached)
                    return False
                if not await self._store.advance(document["_id"], reached):
                    return False
        finally:
            sender.close()
            for stream in producer.streams.values():
                stream.senders.discard(sender)
            ingest.registry.release(producer)
        return True

    async def _accept(
        self, sender: Sender, producer: Producer, document: Document, batches: Batches, done: _Progress
    ) -> None:
        """Takes batches in, and returns when they are durable."""
        for number, payload in batches.payloads:
            message = Message(
                data_type="time_series", payload=payload, stream=_stream(document), seq=number, redelivery=True
            )
            await self._ingest.accept(sender, producer, [message], text=True, size_bytes=_size(payload))
        await self._ingest.registry.drain(producer)
        rejects = sender.take_rejects()
        done.refused += len(rejects)
        done.rows += batches.rows
        done.skipped += batches.skipped
        if rejects and done.error is None:
            done.error = f"batch {rejects[0]['seq']}: {rejects[0]['detail']}"[:500]

    def _source(self, document: Document) -> Source:
        if document.get("inline") is not None:
            return BytesSource(bytes(document["inline"]))
        key = document.get("keys", {}).get("original")
        if key is None:
            raise NotFound(f"the bytes of record {document['_id']!r} are not here any more")
        return UrlSource(self._s3.inside_url(key, _URL_TTL_S), document["size_bytes"])


def _stream(document: Document) -> str:
    return f"{document['stream']}/rows"


def _size(payload: dict[str, Any]) -> int:
    return _VALUE_BYTES * (len(payload["t_ns"]) // 8) * (1 + len(payload["channels"]))
