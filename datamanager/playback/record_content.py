"""The exact bytes of one record: where they are, and headers under which no browser runs them."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from datamanager.errors import NotFound
from datamanager.playback.record_items import RecordItems
from datamanager.storage.mongo import Document

__all__ = ["InlineContent", "attachment_headers", "content_of"]


_UNKNOWN = "application/octet-stream"
_MIME_TYPE = re.compile(r"[!-~]+/[ -~]+\Z")  # a robot may have named anything; no header may hold more than this


@dataclass(frozen=True, slots=True)
class InlineContent:
    """Bytes that stand in the database, and the headers to send them under."""

    data: bytes
    content_type: str
    headers: dict[str, str]


def content_of(document: Document, items: RecordItems) -> InlineContent | str:
    """The bytes of a record, or the pre-signed URL that gives them.

    Raises:
        NotFound: they are not here any more.
    """
    url = items.presigned(document, "original")
    if url is not None:
        return url
    if document.get("inline") is None:
        raise NotFound(f"the bytes of record {document['_id']!r} are not here any more")
    headers = attachment_headers(document.get("name") or document["_id"])
    headers |= {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{document["checksum"]}"'}
    mime_type = document.get("mime_type") or ""
    return InlineContent(bytes(document["inline"]), mime_type if _MIME_TYPE.match(mime_type) else _UNKNOWN, headers)


def attachment_headers(name: str) -> dict[str, str]:
    """Headers under which a browser saves bytes, and neither shows, runs nor guesses at them: they may be HTML."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
