"""How many frames were shed, never silently: counted by stream and enrichment, and written into the stream's document.

`streams` of the stream that was not looked at: `enrichment.{name}.shed`, the sum, and `enrichment.{name}.shed_by.{reason}`;
a dot in a name stands as `%2E` there. Counted in memory and added once every two seconds: what a process counted last is
lost when it is killed, and a write during which MongoDB dies may count twice. All else is exact.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError, Unavailable
from datamanager.observability import METRICS, get_logger
from datamanager.storage.inference_queue import InferenceJob, ShedBy
from datamanager.storage.mongo import Document, Mongo, UpdateOne, translated

__all__ = ["ShedCounts", "shed_of"]

_MAX_COUNTED = 50_000  # streams times enrichments between two writes
_WRITE_S = 2.0

_log = get_logger(__name__)


class ShedCounts:
    """What this process shed. Run `run` as a task; what is counted is written then, and once more when it is cancelled."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._streams = mongo.quick("streams")
        self._clock = clock
        self._counted: Counter[tuple[str, str, ShedBy]] = Counter()

    def count(self, jobs: Iterable[InferenceJob], by: ShedBy) -> None:
        """Counts jobs that are given up. Returns at once."""
        for job in jobs:
            METRICS.shed.labels(job.enrichment, by).inc()
            key = (f"{job.robot_id}/{job.session_id}/{job.stream}", job.enrichment, by)
            if key in self._counted or len(self._counted) < _MAX_COUNTED:
                self._counted[key] += 1
            else:
                _log.warning("shed frames are not counted by stream: too many streams at once", stream=job.stream)

    async def run(self) -> None:
        """Writes what is counted, until cancelled."""
        try:
            while True:
                await self._clock.sleep(_WRITE_S)
                await self.write()
        finally:
            await asyncio.shield(self.write())

    async def write(self) -> None:
        """Adds what was counted so far. While MongoDB is away it is kept."""
        counted, self._counted = self._counted, Counter()
        if not counted:
            return
        changes: dict[str, dict[str, int]] = {}
        for (stream_id, enrichment, by), n in counted.items():
            change = changes.setdefault(stream_id, {})
            place = f"enrichment.{_escaped(enrichment)}"
            change[f"{place}.shed"] = change.get(f"{place}.shed", 0) + n
            change[f"{place}.shed_by.{by}"] = n
        try:
            with translated():
                await self._streams.bulk_write(
                    [UpdateOne({"_id": stream_id}, {"$inc": change}) for stream_id, change in changes.items()],
                    ordered=False,
                )
        except Unavailable as exc:
            _log.info("counts of shed frames wait for MongoDB", error=exc.detail[:200])
            self._counted.update(counted)
        except DatamanagerError as exc:
            _log.error("shed frames are not counted by stream", frames=counted.total(), error=exc.detail[:200])

    async def of(self, robot_id: str, session_id: str) -> dict[str, dict[str, dict[str, int]]]:
        """What was shed of a session: stream to what `shed_of` says, up to some seconds ago.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        wanted = {"robot_id": robot_id, "session_id": session_id, "enrichment": {"$exists": True}}
        with translated():
            found: list[Document] = await self._streams.find(wanted, {"stream": 1, "enrichment": 1}).to_list()
        return {document["stream"]: shed_of(document) for document in found}


def shed_of(stream: Document) -> dict[str, dict[str, int]]:
    """What a stream's document says of its shed frames: enrichment to reason to how many."""
    return {
        name.replace("%2E", "."): {by: int(count) for by, count in of.get("shed_by", {}).items()}
        for name, of in sorted(stream.get("enrichment", {}).items())
    }


def _escaped(name: str) -> str:
    return name.replace(".", "%2E")
