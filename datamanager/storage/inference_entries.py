"""The entries of the inference queue: where they stand, and the jobs in them."""

from collections.abc import Sequence

import msgspec

from datamanager.observability import get_logger
from datamanager.storage.inference_job import URGENCIES, InferenceJob, TakenInference, Urgency

__all__ = ["ids_by_stream", "job_of"]

_DECODER = msgspec.msgpack.Decoder(InferenceJob)

_log = get_logger(__name__)


def ids_by_stream(taken: Sequence[TakenInference]) -> list[tuple[Urgency, list[bytes]]]:
    """The entries of jobs, by the streams that have any."""
    by_stream = [(urgency, [t.entry_id for t in taken if t.stream == urgency]) for urgency in URGENCIES]
    return [(urgency, ids) for urgency, ids in by_stream if ids]


def job_of(data: bytes) -> InferenceJob | None:
    """The job in an entry; None, and a word in the log, when none can be read from it."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        _log.error("an entry of the inference queue is dropped, for no job can be read from it", error=str(exc))
        return None
