"""The collection `models`, whose documents are changed one at a time, each over the revision that was read."""

import hashlib

from datamanager.clock import Clock
from datamanager.errors import Conflict, NotFound, Refused
from datamanager.storage.keys import MODELS_CHANNEL
from datamanager.storage.model_changes import Change
from datamanager.storage.model_documents import StoredModel, stored_of
from datamanager.storage.mongo import Document, DuplicateKey, Mongo, translated
from datamanager.storage.notices import Notices
from datamanager.storage.redis import Redis

__all__ = ["ModelStore"]

MAX_MODELS = 1000
_TRIES = 20


class ModelStore:
    """Reads and changes documents. Every method raises `MongoUnavailable` when MongoDB does not answer.

    Attributes:
        notices: said after every change; workers look again when told, and every second besides.
    """

    def __init__(self, mongo: Mongo, redis: Redis, clock: Clock) -> None:
        self._models = mongo.durable("models")
        self._clock = clock
        self.notices = Notices(redis, MODELS_CHANNEL)

    async def current(self) -> dict[str, StoredModel]:
        """Every model that has a version in use, by name."""
        entry = {"$filter": {"input": "$versions", "cond": {"$eq": ["$$this.version", "$current"]}}}
        with translated():
            found = await self._models.aggregate([{"$project": {"entry": {"$arrayElemAt": [entry, 0]}}}])
            return {d["_id"]: stored_of(d["_id"], d["entry"]) async for d in found if d.get("entry") is not None}

    async def newer(self, stamp: str | None) -> tuple[str, dict[str, StoredModel]] | None:
        """The same with a stamp of what it was made from; None while that is still `stamp`: cheap to ask every second."""
        with translated():
            revisions = [
                f"{d['_id']} {d['revision']}" async for d in self._models.find({}, {"revision": 1}).sort("_id")
            ]
        now = hashlib.sha256("\n".join(revisions).encode()).hexdigest()
        return None if now == stamp else (now, await self.current())

    async def documents(self) -> list[Document]:
        """Every model as `model_documents` describes it, without the manifests, by name."""
        with translated():
            return await self._models.find({}, {"versions.manifest": 0}).sort("_id").to_list()

    async def document(self, name: str) -> Document:
        """One model, with the manifests.

        Raises:
            NotFound: there is none.
        """
        with translated():
            document = await self._models.find_one({"_id": name})
        if document is None:
            raise NotFound(f"there is no model {name[:140]!r}")
        return document

    async def change(self, name: str, change: Change, *, make: bool = False) -> Document:
        """Changes a model's document, over the revision that was read; what does not change anything is not written.

        Raises:
            NotFound: there is none, and none is to be made.
        """
        for _ in range(_TRIES):
            with translated():
                before = await self._models.find_one({"_id": name}, {"loaded": 0})
            if before is None and not make:
                raise NotFound(f"there is no model {name[:140]!r}")
            old = before or {"_id": name, "current": None, "versions": []}
            document = old | {"versions": [dict(entry) for entry in old["versions"]]}
            change(document)
            if document == old:
                return document
            if await self._write(before, document):
                await self.notices.tell(name)
                return document
        raise Conflict(f"others change the model {name} all the time: try again")

    async def _write(self, before: Document | None, document: Document) -> bool:
        """Writes over `before`; False when that is no longer what is there."""
        now_ns = self._clock.now_ns()
        fresh = {"current": document["current"], "versions": document["versions"]}
        if before is None:
            return await self._insert({"_id": document["_id"], "revision": now_ns, "loaded": []} | fresh)
        mine = {"_id": document["_id"], "revision": before["revision"]}
        with translated():
            if not document["versions"]:
                return (await self._models.delete_one(mine)).deleted_count == 1
            revision = max(before["revision"] + 1, now_ns)
            return (await self._models.update_one(mine, {"$set": fresh | {"revision": revision}})).matched_count == 1

    async def _insert(self, document: Document) -> bool:
        try:
            with translated():
                if await self._models.estimated_document_count() >= MAX_MODELS:
                    raise Refused("over_quota", f"there are {MAX_MODELS} models, which is the most")
                await self._models.insert_one(document)
        except DuplicateKey:
            return False
        return True
