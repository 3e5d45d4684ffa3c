"""How the content of a record of kind `video` is opened: a chunk is nothing without the head of its stream."""

from datamanager.errors import Refused
from datamanager.kinds.joined import JoinedSource
from datamanager.kinds.source import Source
from datamanager.storage.mongo import Document
from datamanager.worker.media.make import MediaStores, source_of

__all__ = ["head_of", "whole_source"]


async def head_of(stores: MediaStores, document: Document) -> Document | None:
    """The record of a chunk's stream that a decoder has to see first; None where the chunk has all by itself.

    Raises:
        Refused: `bad_payload`: there is none.
    """
    metadata = document["metadata"]
    if metadata["part"] == "media":
        found = await stores.derivations.before(document, {"metadata.part": "init"})
    elif metadata["part"] == "chunk" and not metadata.get("parameter_sets"):
        found = await stores.derivations.before(document, {"metadata.parameter_sets": True})
    else:
        return None
    if found is None:
        raise Refused("bad_payload", "the head of its stream has not come before it")
    return found


async def whole_source(stores: MediaStores, document: Document) -> Source:
    """The content of a record, with the head of its stream where it needs that.

    Raises:
        Refused: `bad_payload`: there is none.
        NotFound: the bytes are not here any more.
    """
    source = source_of(stores.s3, document)
    head = await head_of(stores, document)
    return source if head is None else JoinedSource([source_of(stores.s3, head), source])
