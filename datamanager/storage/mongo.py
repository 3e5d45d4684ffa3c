"""The one place that talks to pymongo: opening, durable handles, and its errors made ours."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import bson
from bson.binary import Binary
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from gridfs.asynchronous import AsyncGridFSBucket
from pymongo import AsyncMongoClient, DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    CollectionInvalid,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from datamanager.config import MongoConfig
from datamanager.errors import ConfigError, Conflict, DatamanagerError, MongoUnavailable

__all__ = [
    "AsyncGridFSBucket",
    "Binary",
    "BulkFailure",
    "Collection",
    "CollectionInvalid",
    "DeleteOne",
    "Document",
    "DuplicateKey",
    "ExecutionTimeout",
    "InsertOne",
    "Mongo",
    "ObjectId",
    "OperationFailure",
    "RawBSONDocument",
    "ReplaceOne",
    "Unstorable",
    "UpdateOne",
    "encode_document",
    "find_or_make",
    "open_mongo",
    "translated",
]

Document = dict[str, Any]
Collection = AsyncCollection[Document]

# Server-side states that pass by themselves: a primary that steps down, a shutdown, an interrupted operation.
_PASSING_CODES = frozenset({6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 50})
_DUPLICATE_KEY = 11000
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


class DuplicateKey(Conflict):
    """A document with that key is there already."""


class BulkFailure(DatamanagerError):
    """Some documents of a bulk write were refused for good.

    Attributes:
        refused: index in the bulk to (server code, message), duplicates included.
    """

    def __init__(self, refused: Mapping[int, tuple[int, str]]) -> None:
        super().__init__("; ".join(message for _, message in list(refused.values())[:3]))
        self.refused = refused

    @property
    def only_duplicates(self) -> bool:
        """Whether every refused document was there already."""
        return all(code == _DUPLICATE_KEY for code, _ in self.refused.values())


class Unstorable(DatamanagerError):
    """MongoDB can keep no such document."""


def encode_document(document: Document, *, max_bytes: int = _MAX_DOCUMENT_BYTES) -> RawBSONDocument:
    """A document as it is sent.

    Raises:
        Unstorable: a value in it has no form in BSON, or it is too large.
    """
    try:
        encoded = bson.encode(document)
    except (BSONError, OverflowError, ValueError, TypeError, RecursionError) as exc:
        raise Unstorable(f"no such document can be stored: {exc}") from exc
    if len(encoded) > max_bytes:
        raise Unstorable(f"the document has {len(encoded)} bytes, {max_bytes} can be stored")
    return RawBSONDocument(encoded)


class Mongo:
    """Handles on one database. `durable` ones wait for a journaled majority; `quick` ones only for the primary."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self.client = client
        options: CodecOptions[Document] = CodecOptions(tz_aware=True)
        concern = ReadConcern("majority")
        durable = WriteConcern(w="majority", j=True)
        self.database: AsyncDatabase[Document] = client.get_database(
            database, codec_options=options, read_concern=concern, write_concern=durable
        )

    def durable(self, name: str) -> Collection:
        """A collection whose writes survive the death of any process once they return."""
        return self.database[name]

    def quick(self, name: str) -> Collection:
        """A collection whose writes may be lost in a crash: for what can be made again."""
        return self.database.get_collection(name, write_concern=WriteConcern(w=1))

    async def ping(self) -> None:
        """Returns when MongoDB answers.

        Raises:
            MongoUnavailable: it does not.
        """
        with translated():
            await self.database.command("ping")


@contextmanager
def translated() -> Any:
    """Turns pymongo's errors into ours.

    Raises:
        MongoUnavailable: the server does not answer, or is in a state that passes.
        DuplicateKey: a unique key is taken.
        BulkFailure: documents of a bulk write were refused for good.
    """
    try:
        yield
    except DuplicateKeyError as exc:
        raise DuplicateKey(str(exc)) from exc
    except BulkWriteError as exc:
        raise _bulk_error(exc) from exc
    except (ConnectionFailure, NetworkTimeout, WaitQueueTimeoutError, ExecutionTimeout) as exc:
        raise MongoUnavailable(f"MongoDB does not answer: {exc}") from exc
    except OperationFailure as exc:
        if exc.code in _PASSING_CODES:
            raise MongoUnavailable(f"MongoDB is passing through: {exc}") from exc
        raise DatamanagerError(f"MongoDB refused: {exc}") from exc
    except PyMongoError as exc:
        raise DatamanagerError(f"MongoDB: {exc}") from exc


async def find_or_make(
    collection: Collection, key: str, made: Document, values: Mapping[str, Any] | None = None
) -> Document:
    """A document as it is after `values` were set in it; made when it is not there.

    Args:
        collection: where it is kept.
        key: its `_id`.
        made: what a new one says besides `values`.
        values: what is set also in one that is there; not in `made` too.

    Raises:
        MongoUnavailable: MongoDB does not answer.
    """
    update = {"$setOnInsert": made, **({"$set": values} if values else {})}
    while True:
        try:
            with translated():
                found = await collection.find_one_and_update({"_id": key}, update, upsert=True, return_document=True)
        except DuplicateKey:
            continue  # two processes made it in the same moment
        if found is not None:
            return found


def _bulk_error(exc: BulkWriteError) -> DatamanagerError:
    details = exc.details or {}
    errors = {e["index"]: (int(e.get("code", 0)), str(e.get("errmsg", ""))) for e in details.get("writeErrors", [])}
    passing = [message for code, message in errors.values() if code in _PASSING_CODES]
    unsure = details.get("writeConcernErrors")  # then even what is there already may not survive
    if passing or unsure:
        return MongoUnavailable(f"MongoDB is passing through: {passing or unsure}")
    return BulkFailure(errors)


@asynccontextmanager
async def open_mongo(config: MongoConfig) -> AsyncIterator[Mongo]:
    """Opens MongoDB. The connection is made on first use and closed on leaving.

    Raises:
        ConfigError: the address cannot be read.
    """
    timeout_ms = int(config.timeout_s * 1000)
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            config.url,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=max(timeout_ms, 60_000),
            retryWrites=False,  # a standalone server has none; what was written is looked up instead
            appname="datamanager",
            maxPoolSize=64,
        )
    except (PyMongoError, ValueError) as exc:
        raise ConfigError(f"DATAMANAGER_MONGO_URL={config.url!r}: {exc}") from exc
    try:
        yield Mongo(client, config.database)
    finally:
        await client.close()
