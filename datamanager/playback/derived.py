"""What is derived from a record on demand: there, being made, or impossible."""

from dataclasses import dataclass

from datamanager.errors import DatamanagerError, NotFound, Refused
from datamanager.storage.derivations import derivation_error, is_derived
from datamanager.storage.derive_requests import DeriveRequests
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries

__all__ = ["DerivedReader", "NotDerivable", "StillPending"]


@dataclass(frozen=True, slots=True)
class StillPending:
    """It is being made: asking again in `retry_after_s` may find it."""

    retry_after_s: int = 1


class NotDerivable(DatamanagerError):
    """It cannot be made of this record; the detail says why."""

    code = "not_derivable"
    http_status = 422
    close_code = 1008


class DerivedReader:
    """Finds what is derived from sound and video.

    Args:
        records: finds records.
        requests: have made what is missing.
        wait_s: how long a request waits for that.
    """

    def __init__(self, records: RecordQueries, requests: DeriveRequests, *, wait_s: float) -> None:
        self._records = records
        self._requests = requests
        self._wait_s = wait_s

    async def open(self, record_id: str, kind: str, job: str) -> Document | StillPending:
        """A record that has what a job makes.

        Args:
            record_id: which record.
            kind: the kind that it must be of.
            job: what makes what is wanted.

        Raises:
            NotFound: there is no such record.
            Refused: `kind_mismatch`: it is of another kind.
            NotDerivable: the job cannot be done for it.
        """
        document = await self._records.one(record_id)
        if document["kind"] != kind:
            raise Refused("kind_mismatch", f"record {record_id} is of kind {document['kind']}; this is for {kind}")
        if is_derived(document, job):
            return document
        found = await self._requests.wait(record_id, job, self._wait_s)
        if found is None:
            raise NotFound(f"record {record_id!r} was deleted meanwhile")
        if is_derived(found, job):
            return found
        error = derivation_error(found, job)
        if error is not None:
            raise NotDerivable(f"it cannot be made of record {record_id!r}: {error}")
        return StillPending()
