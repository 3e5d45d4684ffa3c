"""A stored record or frame as the API tells it, with the addresses of its tiers."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

import msgspec

from datamanager.errors import Refused
from datamanager.playback.plain_json import PLAIN_TYPES, plain, timestamp_s
from datamanager.playback.signing import UrlSigner
from datamanager.storage.mongo import Document

__all__ = ["TIERS", "KeySigner", "RecordItem", "RecordItems", "Tier", "TierUrls", "WholeRecord", "parse_tiers"]

Tier = Literal["original", "preview", "thumbnail"]
TIERS: tuple[Tier, ...] = get_args(Tier)
TierUrls = dict[Tier, str | None]

# What was extracted from a frame, beside the robot's own metadata.
_EXTRACTED = "role format mime_type camera_id frame_number width height mode points bounds notes".split()

# What `/frames/…` gives where it is not in S3; sound has its preview elsewhere, a video a playlist.
_OURS: dict[str, tuple[Tier, ...]] = {"images": TIERS, "video": ("thumbnail",)}


class KeySigner(Protocol):
    """What makes pre-signed URLs: `storage.s3.S3`."""

    def sign(self, keys: Sequence[str], ttl_s: int) -> list[str]:
        """Pre-signed GET URLs of many S3 keys."""
        ...


class RecordItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record of a list.

    Attributes:
        t_ns: Unix nanoseconds, as text: JSON's readers round large integers.
        timestamp: the same in seconds.
        metadata: what was extracted, and the robot's own; the robot's own values that bear an extracted name stand
            under `own`.
        urls: an address for each tier that was asked for, null where there is no such tier.
    """

    record_id: str
    stream: str
    kind: str
    t_ns: str
    timestamp: float
    seq: int
    producer: str
    size_bytes: int
    metadata: dict[str, Any]
    urls: TierUrls
    checksum: str | None = None
    mime_type: str | None = None
    name: str | None = None


class WholeRecord(RecordItem, frozen=True, kw_only=True):
    """One record by itself, which says whose it is."""

    robot_id: str
    session_id: str


def parse_tiers(names: Sequence[str]) -> tuple[Tier, ...]:
    """The tiers that are asked for; all when none is named.

    Raises:
        Refused: `wrong_type` when one is none of the three.
    """
    for name in names:
        if name not in TIERS:
            raise Refused("wrong_type", f"tier {name[:32]!r} is none of {', '.join(TIERS)}")
    return tuple(tier for tier in TIERS if not names or tier in names)


class RecordItems:
    """Makes items of stored documents.

    Args:
        s3: signs S3 keys.
        signer: signs our own addresses.
        url_ttl_s: how long a pre-signed URL is good for.
    """

    def __init__(self, s3: KeySigner, signer: UrlSigner, url_ttl_s: int) -> None:
        self._s3 = s3
        self._signer = signer
        self._ttl_s = url_ttl_s

    def items(self, documents: Sequence[Document], tiers: Sequence[Tier] = TIERS) -> list[RecordItem]:
        """The items of many documents, in their order."""
        urls = self.urls(documents, tiers)
        return [RecordItem(**_fields(d), urls=u) for d, u in zip(documents, urls, strict=True)]

    def whole(self, document: Document) -> WholeRecord:
        """The item of one document by itself."""
        place = {"robot_id": document["robot_id"], "session_id": document["session_id"]}
        return WholeRecord(**_fields(document), **place, urls=self.urls([document])[0])

    def urls(self, documents: Sequence[Document], tiers: Sequence[Tier] = TIERS) -> list[TierUrls]:
        """The addresses of many documents, in their order: pre-signed where S3 has the tier, else ours, signed."""
        found: list[TierUrls] = [dict.fromkeys(tiers) for _ in documents]
        for tier in tiers:
            in_s3: list[tuple[TierUrls, str]] = []
            ours: list[tuple[TierUrls, str]] = []
            for urls, document in zip(found, documents, strict=True):
                key = _s3_key(document, tier)
                if key is not None:
                    in_s3.append((urls, key))
                elif tier in _OURS.get(document["kind"], ()):
                    ours.append((urls, document["_id"]))
                elif tier == "original":
                    urls[tier] = f"/api/v1/records/{document['_id']}/content"
                elif tier == "preview" and document["kind"] == "audio":
                    urls[tier] = f"/api/v1/records/{document['_id']}/preview"
            signed = self._s3.sign([key for _, key in in_s3], self._ttl_s)
            signed += self._signer.addresses([frame_id for _, frame_id in ours], tier)
            for (urls, _), url in zip(in_s3 + ours, signed, strict=True):
                urls[tier] = url
        return found

    def presigned(self, document: Document, tier: Tier) -> str | None:
        """The pre-signed URL of one tier; None when it is not in S3."""
        key = _s3_key(document, tier)
        return None if key is None else self._s3.sign([key], self._ttl_s)[0]


def _s3_key(document: Document, tier: Tier) -> str | None:
    key: str | None = document.get("keys", {}).get(tier)
    return key


def _is_frame(document: Document) -> bool:
    return bool(document["kind"] == "images")


def _fields(document: Document) -> dict[str, Any]:
    t_ns = document["t_ns"]
    return {
        "record_id": document["_id"],
        "stream": document["stream"],
        "kind": document["kind"],
        "t_ns": str(t_ns),
        "timestamp": timestamp_s(t_ns),
        "seq": int(document["seq"]),
        "producer": document["producer"],
        "size_bytes": int(document["size_bytes"]),
        "metadata": _metadata(document),
        "checksum": document.get("checksum"),
        "mime_type": document.get("mime_type"),
        "name": document.get("name"),
    }


def _metadata(document: Document) -> dict[str, Any]:
    own: dict[str, Any] = plain(document.get("metadata") or {})
    if not _is_frame(document):
        return own
    # Most are plain; asking here spares ten thousand calls a page.
    extracted = {
        name: value if type(value) in PLAIN_TYPES else plain(value)
        for name in _EXTRACTED
        if (value := document.get(name)) is not None
    }
    if own.keys().isdisjoint(extracted):
        return own | extracted
    hidden = {name: own[name] for name in own.keys() & extracted.keys() if own[name] != extracted[name]}
    return own | extracted | ({"own": hidden} if hidden else {})
