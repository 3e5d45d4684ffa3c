"""Where uploads are asked for: checked, begun, looked at again, and given up."""

import secrets
from typing import Any, Literal

from datamanager.clock import Clock
from datamanager.config import IngestConfig, UploadsConfig
from datamanager.errors import Conflict, NotFound, Refused
from datamanager.ingest.metadata import check_map
from datamanager.ingest.uploads.plan import (
    made_id,
    parse_checksum,
    part_count,
    part_size,
    part_span,
    producer_of,
    safe_ending,
)
from datamanager.ingest.uploads.shapes import NewUpload, UploadItem, UploadPart
from datamanager.kinds.names import check_id, check_stream, kind_of, parse_time_ns
from datamanager.kinds.table import KIND_TABLE
from datamanager.storage.keys import original_key, record_id
from datamanager.storage.mongo import ObjectId, Unstorable
from datamanager.storage.records import RecordWrites
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams
from datamanager.storage.uploads import ENDED, UploadDocument, Uploads

__all__ = ["UploadDesk"]

MAX_PAGE = 1000
_OF_MESSAGES = frozenset({"data", "encoding", "value", "name", "mime_type", "checksum", "metadata"})


class UploadDesk:
    """Begins uploads and tells how they stand."""

    def __init__(
        self,
        config: UploadsConfig,
        limits: IngestConfig,
        url_ttl_s: int,
        uploads: Uploads,
        streams: Streams,
        records: RecordWrites,
        s3: S3,
        clock: Clock,
    ) -> None:
        self._config = config
        self._limits = limits
        self._url_ttl_s = url_ttl_s
        self._uploads = uploads
        self._streams = streams
        self._records = records
        self._s3 = s3
        self._clock = clock

    async def begin(self, asked: NewUpload) -> UploadItem:
        """Begins an upload; with a key that is known already, tells of that upload instead.

        Raises:
            Refused: what is asked for would not be taken.
            Conflict: an upload of that key is there, and is another one.
            MongoUnavailable: as every method here; and S3Unavailable.
        """
        document = await self._checked(asked)
        known = await self._uploads.get(document["_id"]) if asked.upload_key is not None else None
        if known is None or known["state"] in ("refused", "aborted", "expired"):
            known = await self._insert(document, keyed=asked.upload_key is not None)
        _check_same(known, document, asked)
        return await self.view(known)

    async def _insert(self, document: UploadDocument, *, keyed: bool) -> UploadDocument:
        if keyed and await self._is_record(document):  # of an upload that is forgotten
            document |= {"state": "done", "record_id": _record_id(document)}
            del document["due_ns"]
        elif document["part_size"] is not None:
            document["s3_upload_id"] = await self._s3.multipart.begin(document["key"], document["mime_type"])
        try:
            if await self._uploads.insert(document):
                return document
        except Unstorable as exc:
            raise Refused("bad_payload", exc.detail[:300]) from exc
        if document["s3_upload_id"] is not None:  # somebody began the same one in the same moment
            await self._s3.multipart.abort(document["key"], document["s3_upload_id"])
        return await self.get(document["_id"])

    async def _is_record(self, document: UploadDocument) -> bool:
        row = KIND_TABLE.get(document["kind"])
        if row is None or row.kept == "telemetry":
            return False
        found = _record_id(document)
        return found in await self._records.known(row.kept, [found])

    async def get(self, upload_id: str) -> UploadDocument:
        """One upload.

        Raises:
            NotFound: there is none.
        """
        found = await self._uploads.get(upload_id)
        if found is None:
            raise NotFound(f"there is no upload {upload_id!r}")
        return found

    async def look(self, upload_id: str, after: int, limit: int) -> UploadItem:
        """How an upload stands, with fresh addresses of what S3 does not have.

        Args:
            upload_id: which.
            after: a part's number: the page begins with the next one.
            limit: parts of a page.

        Raises:
            NotFound: there is none.
        """
        return await self.view(await self.get(upload_id), after, min(limit, MAX_PAGE))

    async def view(self, document: UploadDocument, after: int = 0, limit: int = MAX_PAGE) -> UploadItem:
        """The same of an upload that was read already."""
        more: dict[str, Any] = {}
        if document["state"] == "open":
            more = await self._addresses(document, after, limit)
        elif document["state"] == "completing":
            more = {"verified_bytes": document.get("verified_bytes", 0)}
        return item_of(document, **more)

    async def _addresses(self, document: UploadDocument, after: int, limit: int) -> dict[str, Any]:
        now_ns = self._clock.now_ns()
        until_ns = now_ns + self._url_ttl_s * 10**9
        due_ns = now_ns + self._config.ttl_s * 10**9
        await self._uploads.touch(document["_id"], due_ns=due_ns, urls_until_ns=until_ns)
        if document["part_size"] is None:
            received = await self._s3.size(document["staging"]) == document["size_bytes"]
            url = None if received else self._s3.sign_put(document["staging"], self._url_ttl_s)
            return {"url": url, "received": received, "expires": until_ns / 1e9}
        return await self._part_page(document, after, limit) | {"expires": until_ns / 1e9}

    async def _part_page(self, document: UploadDocument, after: int, limit: int) -> dict[str, Any]:
        size_bytes, size, s3_id = document["size_bytes"], document["part_size"], document["s3_upload_id"]
        count = part_count(size_bytes, size)
        listed = await self._s3.multipart.parts(document["key"], s3_id, after=after, limit=limit)
        there = {(p.number, p.size) for p in listed}
        numbers = range(after + 1, min(after + limit, count) + 1)
        spans = {n: part_span(n, size_bytes, size) for n in numbers}
        missing = [n for n in numbers if (n, spans[n][1]) not in there]
        urls = dict(zip(missing, self._s3.sign_parts(document["key"], s3_id, missing, self._url_ttl_s), strict=True))
        parts = [UploadPart(number=n, offset=spans[n][0], size=spans[n][1], url=urls.get(n)) for n in numbers]
        following = after + limit
        return {
            "part_size": size,
            "part_count": count,
            "parts": parts,
            "next_part": following if following < count else None,
        }

    async def abort(self, upload_id: str) -> None:
        """Gives an upload up; one that was given up already is no error.

        Raises:
            NotFound: there is none.
            Conflict: it is being completed, or is a record already.
        """
        document = await self.get(upload_id)
        if await self._uploads.end(upload_id, "aborted", now_ns=self._clock.now_ns()) is not None:
            return
        document = await self.get(upload_id)
        if document["state"] in ("completing", "done"):
            raise Conflict(f"upload {upload_id} is {document['state']}")

    async def _checked(self, asked: NewUpload) -> UploadDocument:
        """The document of a new upload.

        Raises:
            Refused: what is asked for would not be taken.
        """
        robot_id, session_id = check_id(asked.robot_id, "robot_id"), check_id(asked.session_id, "session_id")
        stream, kind = check_stream(asked.stream), kind_of(asked.kind)
        t_ns = self._time_of(asked, kind)
        self._check_size(asked, kind)
        row = KIND_TABLE.get(kind)
        if row is None:
            raise Refused("unknown_kind", f"kind {kind} is not taken by this version")
        for what, value in (("metadata", asked.metadata), ("payload", asked.payload)):
            check_map(value, what, max_bytes=self._limits.max_metadata_bytes, max_depth=self._limits.max_depth)
        there = await self._streams.get(robot_id, session_id, stream)
        if there is not None and there["kind"] != kind:
            raise Refused("kind_mismatch", f"stream {stream!r} is of kind {there['kind']}, the upload of kind {kind}")
        now_ns = self._clock.now_ns()
        upload_id = made_id(robot_id, session_id, asked.upload_key)
        attempt = secrets.token_hex(4)  # so that what is left of one that was given up never meets the next one
        folder: Literal["frames", "files"] = "frames" if row.kept == "frames_metadata" else "files"
        named = f"{producer_of(upload_id)}-{attempt}"
        size = part_size(asked.size_bytes, self._config.part_bytes)
        return {
            "_id": upload_id,
            "letter_id": ObjectId(),
            "robot_id": robot_id,
            "session_id": session_id,
            "stream": stream,
            "kind": kind,
            "t_ns": t_ns,
            "name": asked.name,
            "mime_type": asked.mime_type,
            "size_bytes": asked.size_bytes,
            "checksum": None if asked.checksum is None else parse_checksum(asked.checksum),
            "metadata": asked.metadata,
            "payload": {name: value for name, value in asked.payload.items() if name not in _OF_MESSAGES},
            "key": original_key(robot_id, session_id, folder, stream, t_ns, named, 0, safe_ending(asked.name)),
            "staging": f"uploads/{upload_id}-{attempt}",
            "s3_upload_id": None,
            "part_size": size,
            "state": "open",
            "created_ns": now_ns,
            "due_ns": now_ns + self._config.ttl_s * 10**9,
            "urls_until_ns": now_ns,
        }

    def _time_of(self, asked: NewUpload, kind: str) -> int:
        t_ns = parse_time_ns(asked.t_ns, asked.timestamp)
        if t_ns is not None:
            return t_ns
        if kind == "time_series":  # columns bring their own times
            return 0
        raise Refused("missing_field", "the upload has no t_ns and no timestamp")

    def _check_size(self, asked: NewUpload, kind: str) -> None:
        most = self._limits.max_message_bytes if kind == "time_series" else self._config.max_bytes
        if asked.size_bytes > most:
            raise Refused("too_large", f"an upload of {asked.size_bytes} bytes; of {kind}, {most} are allowed")


def item_of(document: UploadDocument, **more: Any) -> UploadItem:
    """An upload as it is told."""
    names = ["robot_id", "session_id", "stream", "kind", "size_bytes", "name"]
    if document["state"] in ENDED:
        names += ["record_id", "code", "detail"]
    fields: dict[str, Any] = {name: document.get(name) for name in names} | more
    return UploadItem(
        upload_id=document["_id"],
        status=document["state"],
        t_ns=str(document["t_ns"]),
        timestamp=document["t_ns"] / 1e9,
        **fields,
    )


def _check_same(known: UploadDocument, wanted: UploadDocument, asked: NewUpload) -> None:
    names = ["robot_id", "session_id", "stream", "kind", "size_bytes"]
    if known["checksum"] is not None and wanted["checksum"] is not None:
        names.append("checksum")
    for name in names:
        if known[name] != wanted[name]:
            raise Conflict(
                f"upload_key {asked.upload_key!r} is that of an upload with {name} {known[name]!r}, not {wanted[name]!r}"
            )


def _record_id(document: UploadDocument) -> str:
    place = (document["robot_id"], document["session_id"], document["stream"])
    return record_id(*place, producer_of(document["_id"]), 0)
