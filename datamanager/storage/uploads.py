"""Uploads: objects that others put into S3 by themselves, and what became of each.

`state`: `open` (bytes are awaited) → `completing` (a server looks at them) → `done` or `refused`; an open one may also
become `aborted` or `expired`. Every change of state is one compare-and-set on one document. `due_ns` says when a sweep
has to look at a document again: an open one has been left alone for too long, the server that completes one has not
said for too long that it still does, or what an ended one leaves in S3 is to be removed.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from datamanager.storage.mongo import Document, DuplicateKey, Mongo, encode_document, translated

__all__ = ["ENDED", "GIVEN_UP", "UploadDocument", "Uploads"]

UploadDocument = Document
GIVEN_UP = ("refused", "aborted", "expired")
ENDED = ("done", *GIVEN_UP)


class Uploads:
    """The collection `uploads`. Every method raises `MongoUnavailable` when MongoDB does not answer.

    Args:
        mongo: the database.
        keep_s: how long what became of an upload is told.
    """

    def __init__(self, mongo: Mongo, *, keep_s: int) -> None:
        self._uploads = mongo.durable("uploads")
        self._keep_s = keep_s

    async def insert(self, document: UploadDocument) -> bool:
        """Adds an upload; takes the place of one of the same id that was given up.

        Returns:
            False when there is one already that was not given up.

        Raises:
            Unstorable: MongoDB can keep no such document.
        """
        encode_document(document)
        try:
            with translated():
                await self._uploads.replace_one(
                    {"_id": document["_id"], "state": {"$in": list(GIVEN_UP)}}, document, upsert=True
                )
        except DuplicateKey:
            return False
        return True

    async def get(self, upload_id: str) -> UploadDocument | None:
        """One upload; None when there is none."""
        with translated():
            return await self._uploads.find_one({"_id": upload_id})

    async def touch(self, upload_id: str, *, due_ns: int, urls_until_ns: int) -> None:
        """Somebody asked for an open upload: it is not given up before `due_ns`."""
        with translated():
            await self._uploads.update_one(
                {"_id": upload_id, "state": "open"}, {"$max": {"due_ns": due_ns, "urls_until_ns": urls_until_ns}}
            )

    async def take(
        self, upload_id: str, owner: str, *, now_ns: int, due_ns: int, checksum: str | None
    ) -> UploadDocument | None:
        """Takes an upload on to complete it: an open one, or one whose server has not said for too long that it does.

        Returns:
            The upload as it is now; None when it is not to be taken.
        """
        fields: dict[str, Any] = {"state": "completing", "owner": owner, "due_ns": due_ns}
        if checksum is not None:
            fields["checksum"] = checksum
        left = {"state": "completing", "due_ns": {"$lte": now_ns}}
        with translated():
            return await self._uploads.find_one_and_update(
                {"_id": upload_id, "$or": [{"state": "open"}, left]},
                {"$set": fields, "$inc": {"tries": 1}},
                return_document=True,
            )

    async def renew(self, upload_id: str, owner: str, *, due_ns: int, verified_bytes: int) -> bool:
        """Says that `owner` still completes an upload; False when it is another's by now."""
        with translated():
            result = await self._uploads.update_one(
                {"_id": upload_id, "state": "completing", "owner": owner},
                {"$set": {"due_ns": due_ns, "verified_bytes": verified_bytes}},
            )
        return result.matched_count == 1

    async def reopen(self, upload_id: str, owner: str, *, due_ns: int) -> None:
        """Gives an upload back whose bytes are not all there."""
        with translated():
            await self._uploads.update_one(
                {"_id": upload_id, "state": "completing", "owner": owner},
                {"$set": {"state": "open", "due_ns": due_ns}},
            )

    async def end(
        self, upload_id: str, state: str, *, now_ns: int, owner: str | None = None, **fields: Any
    ) -> UploadDocument | None:
        """Ends an upload; what it leaves in S3 is due to be removed.

        Args:
            upload_id: which.
            state: what became of it.
            now_ns: the time.
            owner: who completed it; None ends one that is open.
            fields: what more is to be told of it.

        Returns:
            The upload as it is now; None when it is another's, or not open, and so nothing changed.
        """
        mine = {"state": "open"} if owner is None else {"state": "completing", "owner": owner}
        forget = datetime.now(UTC) + timedelta(seconds=self._keep_s)
        with translated():
            return await self._uploads.find_one_and_update(
                {"_id": upload_id} | mine,
                {"$set": {"state": state, "ended_ns": now_ns, "due_ns": now_ns, "forget": forget} | fields},
                return_document=True,
            )

    async def cleaned(self, document: UploadDocument, *, again_ns: int | None) -> None:
        """What an ended upload left is removed; `again_ns` says when that is to be done again, if it is."""
        change = {"$unset": {"due_ns": ""}} if again_ns is None else {"$set": {"due_ns": again_ns}}
        with translated():
            await self._uploads.update_one(
                {"_id": document["_id"], "state": document["state"], "key": document["key"]}, change
            )

    async def due(self, now_ns: int, limit: int) -> AsyncIterator[UploadDocument]:
        """Uploads that have to be looked at again, the longest due first."""
        with translated():
            async for document in self._uploads.find({"due_ns": {"$lte": now_ns}}).sort("due_ns", 1).limit(limit):
                yield document
