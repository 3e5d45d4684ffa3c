"""What the jobs of sound and video have in common: where content comes from, and what becomes of what is broken."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from datamanager.errors import NotFound, ProcessDied, Refused
from datamanager.kinds.source import BytesSource, Source, UrlSource
from datamanager.processes import ProcessPool
from datamanager.storage.derivations import Derivations, is_derived
from datamanager.storage.jobs import Job
from datamanager.storage.mongo import Document
from datamanager.storage.s3 import S3

__all__ = ["MediaStores", "derive", "product_key", "source_of"]

_URL_TTL_S = 3600

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MediaStores:
    """What a job of sound or video needs.

    Attributes:
        s3: holds originals and what is made of them.
        derivations: what is known of both.
        pool: where decoding happens.
        quick: where what takes a moment happens, without waiting for what is being decoded.
    """

    s3: S3
    derivations: Derivations
    pool: ProcessPool
    quick: ProcessPool


def source_of(s3: S3, document: Document) -> Source:
    """The content of a record.

    Raises:
        NotFound: it is not here any more.
    """
    if document.get("inline") is not None:
        return BytesSource(bytes(document["inline"]))
    key = document.get("keys", {}).get("original")
    if key is None:
        raise NotFound(f"the bytes of record {document['_id']!r} are not here any more")
    return UrlSource(s3.inside_url(key, _URL_TTL_S), document["size_bytes"])


def product_key(document: Document, ending: str) -> str:
    """The S3 key of something that is made of a record."""
    place = "/".join(document[name] for name in ("robot_id", "session_id"))
    name = f"{document['t_ns']:020d}_{document['_id']}"
    return f"processed/{place}/preview/{document['stream']}/{name}{ending}"


async def derive(derivations: Derivations, make: Callable[[Document], Awaitable[None]], job: Job) -> None:
    """Has one job done, of a record that is still there and lacks what the job makes.

    What is wrong with the content is written down and is no failure of the job: it would be the same again.

    Raises:
        Exception: what `make` raised, for the job to be tried again.
    """
    document = await derivations.fetch(job.key)
    if document is None:
        return
    if is_derived(document, job.kind):
        await derivations.done(document, job.kind, {})
        return
    try:
        await make(document)
    except (Refused, NotFound) as exc:
        await derivations.failed(document, job.kind, f"{exc.code}: {exc.detail}")
    except MemoryError:
        await derivations.failed(document, job.kind, "unsafe_content: decoding it takes more memory than it may")
    except ProcessDied as died:
        if not died.by_limit:
            raise
        await derivations.failed(document, job.kind, f"unsafe_content: {died.detail}")
