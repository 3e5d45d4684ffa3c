"""An upload that has come becomes a record: looked at, and taken in as a message would be."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from datamanager.errors import NotFound, Refused
from datamanager.ingest.content import Content, content_of
from datamanager.ingest.producer import Producer
from datamanager.ingest.sender import Sender
from datamanager.ingest.service import Ingest
from datamanager.ingest.uploads.plan import part_count, part_span, producer_of
from datamanager.ingest.wire import Message, decode_value
from datamanager.kinds.examiner import Examiner
from datamanager.kinds.kind import Hints
from datamanager.kinds.source import UrlSource
from datamanager.kinds.table import KIND_TABLE
from datamanager.storage.keys import record_id
from datamanager.storage.multipart import Part
from datamanager.storage.s3 import S3
from datamanager.storage.uploads import UploadDocument

__all__ = ["RecordMaker", "letter_bytes"]

_PIECE_BYTES = 2 * 1024 * 1024  # larger ones are not much faster, and stay in the process as holes of its heap
_URL_TTL_S = 300
_PENDING_BYTES = 2000  # what it takes of memory until it is durable: its bytes are in S3
_JSON_STARTS = b"{ \t\r\n\xef"


class RecordMaker:
    """Makes the record of an upload. Everything here may be done again, by any process: there is one record at the end."""

    def __init__(self, ingest: Ingest, examiner: Examiner, s3: S3) -> None:
        self._ingest = ingest
        self._examiner = examiner
        self._s3 = s3

    async def missing(self, document: UploadDocument) -> str | None:
        """What S3 does not have of an upload; None when all is there.

        Raises:
            S3Unavailable: as every method here.
        """
        if document["part_size"] is None:
            there = await self._s3.size(document["staging"])
            return None if there is not None or await self._s3.size(document["key"]) is not None else "the bytes are"
        try:
            _, missing = await self._parts(document)
        except NotFound:
            return None if await self._s3.size(document["key"]) is not None else "all its parts are"
        if not missing:
            return None
        return f"{len(missing)} parts, of them {', '.join(str(n) for n in missing[:20])}, are"

    async def _parts(self, document: UploadDocument) -> tuple[list[Part], list[int]]:
        size_bytes, size = document["size_bytes"], document["part_size"]
        spans = {n: part_span(n, size_bytes, size)[1] for n in range(1, part_count(size_bytes, size) + 1)}
        listed = await self._s3.multipart.parts(document["key"], document["s3_upload_id"])
        parts = {p.number: p for p in listed if spans.get(p.number) == p.size}
        return [parts[n] for n in sorted(parts)], [n for n in spans if n not in parts]

    async def settle(self, document: UploadDocument) -> None:
        """Sees to it that the object stands under its own key, where nobody else can write any more.

        Raises:
            Refused: S3 has not got it, or not as many bytes as were said.
        """
        key = document["key"]
        size = await self._s3.size(key)
        if size is None:
            try:
                await self._put_together(document)
            except NotFound as exc:
                raise Refused("bad_payload", "the bytes are not in S3") from exc
            size = await self._s3.size(key)
        if size != document["size_bytes"]:
            raise Refused("bad_payload", f"S3 has {size} bytes, {document['size_bytes']} were to come")

    async def _put_together(self, document: UploadDocument) -> None:
        if document["part_size"] is None:
            size = await self._s3.size(document["staging"])
            if size is not None and size != document["size_bytes"]:
                raise Refused("bad_payload", f"S3 has {size} bytes, {document['size_bytes']} were to come")
            # Whoever has the address can put it again for as long as that lasts: what is checked must be another object.
            await self._s3.copy(document["staging"], document["key"])
            return
        parts, missing = await self._parts(document)
        if missing:
            raise Refused("bad_payload", f"part {missing[0]} is not in S3")
        await self._s3.multipart.join(document["key"], document["s3_upload_id"], parts)

    async def checksum(self, document: UploadDocument, progress: Callable[[int], None]) -> str:
        """SHA-256 of the object, in hex, read in pieces.

        Args:
            document: the upload.
            progress: told how many bytes were read so far; what it raises ends the reading.

        Raises:
            Refused: it is another one than was said.
        """
        digest = hashlib.sha256()
        size_bytes = document["size_bytes"]
        for offset in range(0, size_bytes, _PIECE_BYTES):
            length = min(_PIECE_BYTES, size_bytes - offset)
            await asyncio.to_thread(digest.update, await self._s3.view(document["key"], offset, length))
            progress(offset + length)
        found = digest.hexdigest()
        if document["checksum"] not in (None, found):
            raise Refused("bad_payload", f"the checksum says {document['checksum']}, the bytes have sha256 {found}")
        return found

    async def make(self, document: UploadDocument, checksum: str) -> str | None:
        """Looks at the content and makes the record; durable once this returns its id (samples have none).

        Raises:
            Refused: the content is bad, or the stream is of another kind.
        """
        if document["kind"] == "time_series":
            await self._take_samples(document)
            return None
        content = await self._content(document, checksum)
        await self._take(document, lambda sender, producer: self._keep(sender, producer, document, content))
        place = (document["robot_id"], document["session_id"], document["stream"])
        return record_id(*place, producer_of(document["_id"]), 0)

    async def _content(self, document: UploadDocument, checksum: str) -> Content:
        row = KIND_TABLE[document["kind"]]
        size_bytes, name = document["size_bytes"], document["name"]
        source = UrlSource(self._s3.inside_url(document["key"], _URL_TTL_S), size_bytes)
        found = await self._examiner.examine(
            document["kind"], source, Hints(name, document["mime_type"], document["payload"])
        )
        content = content_of(row, found, None, size_bytes, checksum, name, document["metadata"])
        return replace(content, key=document["key"])

    async def _keep(self, sender: Sender, producer: Producer, document: UploadDocument, content: Content) -> None:
        await self._ingest.keep_stored(
            sender, producer, document["kind"], document["stream"], document["t_ns"], content, size_bytes=_PENDING_BYTES
        )

    async def _take_samples(self, document: UploadDocument) -> None:
        """Samples are no record with bytes: the object holds the payload of one message, as JSON or MessagePack."""
        data = await self._s3.read(document["key"], 0, document["size_bytes"]) if document["size_bytes"] else b""
        text = data[:1] in (b"", *(bytes([c]) for c in _JSON_STARTS))
        payload = decode_value(data, text=text)
        message = Message(
            data_type="time_series",
            payload=payload,
            stream=document["stream"],
            seq=0,
            t_ns=document["t_ns"] or None,
            metadata=document["metadata"] or None,
            redelivery=True,
        )

        async def take(sender: Sender, producer: Producer) -> None:
            await self._ingest.accept(sender, producer, [message], text=text, size_bytes=len(data))
            self._ingest.sealer.flush(producer)

        await self._take(document, take)

    async def _take(self, document: UploadDocument, take: Callable[[Sender, Producer], Awaitable[None]]) -> None:
        """Hands something in as the upload's own sender, and waits until it is durable.

        Raises:
            Refused: it was refused.
        """
        sender = Sender(self._ingest.config, self._ingest.budget, repeats_allowed=True)
        place = (document["robot_id"], document["session_id"])
        producer = await self._ingest.registry.open(*place, producer_of(document["_id"]))
        try:
            await take(sender, producer)
            while sender.pending_messages:
                await sender.changed.wait()
                sender.changed.clear()
        finally:
            sender.close()
            for stream in producer.streams.values():
                stream.senders.discard(sender)
            self._ingest.registry.release(producer)
        for reject in sender.take_rejects():
            raise Refused(reject["code"], reject["detail"])


def letter_bytes(document: UploadDocument, data: bytes) -> bytes:
    """A refused upload as the message that it would have been, with the beginning of its bytes."""
    payload = {"data": data, "name": document["name"], "mime_type": document["mime_type"]} | document["payload"]
    names = ("robot_id", "session_id", "stream", "t_ns", "metadata")
    message = {"data_type": document["kind"], **{n: document[n] for n in names}, "payload": payload}
    try:
        return msgspec.msgpack.encode(message)
    except (TypeError, ValueError, OverflowError):
        return data
