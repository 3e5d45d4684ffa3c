"""What workers say of the models that they run: kept for a minute, beside the model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from datamanager.clock import Clock
from datamanager.storage.mongo import Document, Mongo, UpdateOne, translated

__all__ = ["ModelReport", "ModelReports", "fresh_reports"]

MAX_WORKERS = 64
TTL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """How a model stands in one worker.

    Attributes:
        name, version: which model.
        state: `loading`, `ready` or `failed`.
        providers: the ONNX Runtime providers that really loaded, the one in use first.
        breaker: the circuit breaker's state: `closed`, `open`, `half_open`; empty where none is.
        error: what went wrong last; empty: nothing did.
    """

    name: str
    version: str
    state: str
    providers: tuple[str, ...] = ()
    breaker: str = ""
    error: str = ""


class ModelReports:
    """The field `loaded` of the models' documents. A report that is lost in a crash is made again within seconds."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._models = mongo.quick("models")
        self._clock = clock

    async def write(self, worker: str, reports: Sequence[ModelReport]) -> None:
        """Keeps a worker's reports in place of its earlier ones, the newest `MAX_WORKERS` of each model.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        if not reports:
            return
        now_ns = self._clock.now_ns()
        updates = [UpdateOne({"_id": report.name}, _update(worker, report, now_ns)) for report in reports]
        with translated():
            await self._models.bulk_write(updates, ordered=False)


def fresh_reports(document: Document, now_ns: int) -> list[Document]:
    """The reports in a model's document that still count, by worker."""
    fresh = [entry for entry in document.get("loaded", []) if entry["at_ns"] > now_ns - TTL_S * 1e9]
    return sorted(fresh, key=lambda entry: str(entry["worker"]))


def _update(worker: str, report: ModelReport, now_ns: int) -> list[Document]:
    entry = asdict(report) | {"worker": worker, "at_ns": now_ns, "error": report.error[:500]}
    del entry["name"]
    others = {
        "$filter": {
            "input": {"$ifNull": ["$loaded", []]},
            "cond": {
                "$and": [
                    {"$ne": ["$$this.worker", {"$literal": worker}]},
                    {"$gt": ["$$this.at_ns", now_ns - int(TTL_S * 1e9)]},
                ]
            },
        }
    }
    newest = {"$slice": [{"$concatArrays": [{"$literal": [entry]}, others]}, MAX_WORKERS]}
    return [{"$set": {"loaded": newest}}]
