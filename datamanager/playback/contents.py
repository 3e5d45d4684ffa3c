"""The content of records, for whoever reads parts of it: in a child process, by range, never all of it at once."""

from collections.abc import Callable, Collection
from typing import Concatenate, ParamSpec, TypeVar

from datamanager.errors import NotFound, Refused
from datamanager.kinds.examiner import Examiner
from datamanager.kinds.kind import KindLimits
from datamanager.kinds.source import BytesSource, Source, UrlSource
from datamanager.playback.stored_bytes import StoredBytes
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.s3 import S3

__all__ = ["Contents"]

_URL_TTL_S = 300

P = ParamSpec("P")
T = TypeVar("T")


class Contents:
    """Opens records and has functions read in them."""

    def __init__(self, records: RecordQueries, s3: S3, examiner: Examiner) -> None:
        self._records = records
        self._s3 = s3
        self._examiner = examiner

    @property
    def limits(self) -> KindLimits:
        """How much content may hold."""
        return self._examiner.limits

    async def open(self, record_id: str, kinds: Collection[str]) -> tuple[Document, Source]:
        """A record of one of `kinds`, and its content.

        Raises:
            NotFound: there is no such record, or its bytes are not here any more.
            Refused: `kind_mismatch`: it is of another kind.
        """
        document = await self._document(record_id, kinds)
        return document, self.source(document)

    async def stored(self, record_id: str, kinds: Collection[str]) -> tuple[Document, StoredBytes]:
        """A record of one of `kinds`, and its bytes, for passing them on.

        Raises:
            NotFound: there is no such record, or its bytes are not here any more.
            Refused: `kind_mismatch`: it is of another kind.
        """
        document = await self._document(record_id, kinds)
        return document, StoredBytes(document, self._s3)

    async def _document(self, record_id: str, kinds: Collection[str]) -> Document:
        document = await self._records.one(record_id)
        if document["kind"] not in kinds:
            wanted = " or ".join(sorted(kinds))
            raise Refused("kind_mismatch", f"record {record_id} is of kind {document['kind']}; this is for {wanted}")
        return document

    def source(self, document: Document) -> Source:
        """The content of a record.

        Raises:
            NotFound: its bytes are not here any more.
        """
        if document.get("inline") is not None:
            return BytesSource(bytes(document["inline"]))
        key = document.get("keys", {}).get("original")
        if key is None:
            raise NotFound(f"the bytes of record {document['_id']!r} are not here any more")
        return UrlSource(self._s3.inside_url(key, _URL_TTL_S), document["size_bytes"])

    async def read(
        self,
        record_id: str,
        kinds: Collection[str],
        function: Callable[Concatenate[Source, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Calls `function(source, ...)`, importable, with a record's content, in a child process.

        Raises:
            NotFound: there is no such record, or its bytes are not here any more.
            Refused: it is of another kind; or what the function raised.
        """
        _, source = await self.open(record_id, kinds)
        return await self.call(function, source, *args, **kwargs)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls an importable function in a child process, for what is to be read of content that was opened.

        Raises:
            Refused: it took too long, or what the function raised.
        """
        return await self._examiner.call(function, *args, **kwargs)

    async def read_as(
        self,
        record_id: str,
        kinds: Collection[str],
        function: Callable[Concatenate[Source, str, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `read`, for a function that has to know of which kind the record is: `function(source, kind, ...)`."""
        document, source = await self.open(record_id, kinds)
        return await self._examiner.call(function, source, document["kind"], *args, **kwargs)
