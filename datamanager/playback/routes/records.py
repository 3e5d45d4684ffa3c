"""`…/records`, `/records`, `/frames` and `/dead-letters`."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_304_NOT_MODIFIED, HTTP_307_TEMPORARY_REDIRECT

from datamanager.playback.dead_letter_pages import DeadLetterItem, DeadLetterPages
from datamanager.playback.frame_tiers import FrameTierReader, TierBytes, TierElsewhere
from datamanager.playback.overlays import OverlayReader, TierWithOverlay
from datamanager.playback.pages import Page
from datamanager.playback.record_content import attachment_headers, content_of
from datamanager.playback.record_items import RecordItem, RecordItems, WholeRecord, parse_tiers
from datamanager.playback.record_pages import FrameUrlsRequest, ManyFrameUrls, RecordPages
from datamanager.playback.routes.parameters import Cursor, Limit, RobotId, SessionId, StreamNames, Time
from datamanager.playback.signing import UrlSigner
from datamanager.storage.dead_letter_queries import DeadLetterQueries
from datamanager.storage.record_queries import RecordQueries

__all__ = ["RECORD_HANDLERS", "thumbnail_answer"]

_BYTES = "application/octet-stream"
_IMMUTABLE = "public, max-age=31536000, immutable"


@get("/sessions/{robot_id:str}/{session_id:str}/records", summary="A session's records", tags=["playback"])
async def list_records(
    pages: NamedDependency[RecordPages],
    robot_id: RobotId,
    session_id: SessionId,
    stream: StreamNames = None,
    start: Time = None,
    end: Time = None,
    tier: Annotated[list[str] | None, QueryParameter(description="give addresses of these tiers only")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Page[RecordItem]:
    """Records and frames of [start, end), ascending in time, each with addresses of its bytes."""
    return await pages.page(
        robot_id, session_id, streams=stream, start=start, end=end, tiers=tier, limit=limit, cursor=cursor
    )


@get("/records/{record_id:str}", summary="One record", tags=["playback"])
async def get_record(
    records: NamedDependency[RecordQueries], items: NamedDependency[RecordItems], record_id: FromPath[str]
) -> WholeRecord:
    """One record or frame, with addresses of its bytes."""
    return items.whole(await records.one(record_id))


@get("/records/{record_id:str}/content", summary="A record's exact bytes", tags=["playback"], media_type=_BYTES)
async def get_content(
    records: NamedDependency[RecordQueries], items: NamedDependency[RecordItems], record_id: FromPath[str]
) -> Response[Any]:
    """The bytes as the robot sent them, or a redirect to them."""
    content = content_of(await records.one(record_id), items)
    if isinstance(content, str):
        return _elsewhere(content)
    return Response(content.data, media_type=content.content_type, headers=content.headers)


@get("/frames/{frame_id:str}/{tier:str}", summary="One tier of a frame", tags=["playback"], media_type=_BYTES)
async def get_tier(
    request: Request[Any, Any, Any],
    tier_reader: NamedDependency[FrameTierReader],
    overlay_reader: NamedDependency[OverlayReader],
    signer: NamedDependency[UrlSigner],
    frame_id: FromPath[str],
    tier: FromPath[str],
    overlay: Annotated[
        str | None,
        QueryParameter(description="draw in what models saw: `detections`, `segments`, or `detections:rule`"),
    ] = None,
    expires: FromQuery[str | None] = None,
    signature: FromQuery[str | None] = None,
) -> Response[Any]:
    """The thumbnail itself, or a redirect to the preview or original. A missing tier is made: 202 when that takes long."""
    signer.verify(frame_id, tier, expires, signature)
    (wanted,) = parse_tiers([tier])
    found: Any
    if overlay is None:
        found = await tier_reader.open(frame_id, wanted)
    else:
        found = await overlay_reader.open(frame_id, wanted, overlay)
    if isinstance(found, TierElsewhere):
        return _elsewhere(found.url)
    if isinstance(found, TierBytes):
        return thumbnail_answer(found, request.headers.get("if-none-match"))
    if isinstance(found, TierWithOverlay):
        return await _overlay_answer(overlay_reader, found, request.headers.get("if-none-match"))
    body = {"status": "pending", "frame_id": frame_id, "tier": tier}
    headers = {"Retry-After": str(found.retry_after_s), "Cache-Control": "no-store"}
    return Response(body, status_code=HTTP_202_ACCEPTED, media_type="application/json", headers=headers)


@post("/frames/urls", summary="Addresses of many frames", tags=["playback"], status_code=HTTP_200_OK)
async def list_frame_urls(pages: NamedDependency[RecordPages], data: JSONBody[FrameUrlsRequest]) -> ManyFrameUrls:
    """The addresses of many frames at once."""
    return await pages.frame_urls(data)


@get("/dead-letters", summary="Refused messages, the newest first", tags=["ingest"])
async def list_dead_letters(
    letter_pages: NamedDependency[DeadLetterPages],
    robot_id: FromQuery[str | None] = None,
    session_id: FromQuery[str | None] = None,
    producer: FromQuery[str | None] = None,
    stream: FromQuery[str | None] = None,
    code: Annotated[str | None, QueryParameter(description="the reject code")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Page[DeadLetterItem]:
    """Messages that were refused, and why."""
    wanted = {"robot_id": robot_id, "session_id": session_id, "producer": producer, "stream": stream, "code": code}
    return await letter_pages.page(wanted=wanted, limit=limit, cursor=cursor)


@get("/dead-letters/{letter_id:str}/content", summary="A refused message", tags=["ingest"], media_type=_BYTES)
async def get_dead_letter(letters: NamedDependency[DeadLetterQueries], letter_id: FromPath[str]) -> Response[bytes]:
    """The bytes of a refused message, as far as they were kept."""
    return Response(await letters.data(letter_id), media_type=_BYTES, headers=attachment_headers(letter_id))


def _elsewhere(url: str) -> Response[bytes]:
    # The URL lives for an hour; a cached redirect to it would outlive it.
    headers = {"Location": url, "Cache-Control": "no-store"}
    return Response(b"", status_code=HTTP_307_TEMPORARY_REDIRECT, headers=headers)


def thumbnail_answer(found: TierBytes, known: str | None) -> Response[bytes]:
    """A small picture, or that the reader has it already, by the entity tags that it sent."""
    headers = {"ETag": found.etag, "Cache-Control": _IMMUTABLE, "X-Content-Type-Options": "nosniff"}
    if _is_known(found.etag, known):
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(found.data, media_type=found.content_type, headers=headers)


async def _overlay_answer(reader: OverlayReader, found: TierWithOverlay, known: str | None) -> Response[bytes]:
    # Results may come or change; the tag tells whether they did, before anything is drawn.
    headers = {"ETag": found.etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if _is_known(found.etag, known):
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(await reader.draw(found), media_type="image/jpeg", headers=headers)


def _is_known(etag: str, known: str | None) -> bool:
    names = {name.strip().removeprefix("W/") for name in (known or "").split(",")}
    return etag in names or "*" in names


RECORD_HANDLERS = [
    list_records,
    get_record,
    get_content,
    get_tier,
    list_frame_urls,
    list_dead_letters,
    get_dead_letter,
]
