"""Pages of dead letters."""

import msgspec

from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import decode_cursor, parse_int
from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.storage.dead_letter_queries import DeadLetterQueries
from datamanager.storage.mongo import Document

__all__ = ["DeadLetterItem", "DeadLetterPages"]

_NS_PER_MS = 1_000_000


class DeadLetterItem(msgspec.Struct, frozen=True, kw_only=True):
    """One refused message.

    Attributes:
        size_bytes: how many of its bytes were kept.
        truncated: whether it had more.
        arrived_ns: when it came, Unix nanoseconds as text, exact to the millisecond.
        url: where its bytes are.
    """

    dead_letter_id: str
    robot_id: str | None
    session_id: str | None
    producer: str | None
    stream: str | None
    seq: int | None
    code: str
    detail: str
    size_bytes: int
    truncated: bool
    arrived_ns: str
    timestamp: float
    url: str


class DeadLetterPages:
    """Answers `/dead-letters`."""

    def __init__(self, letters: DeadLetterQueries, *, page_limit: int) -> None:
        self._letters = letters
        self._page_limit = page_limit

    async def page(
        self, *, wanted: dict[str, str | None], limit: str | None, cursor: str | None
    ) -> Page[DeadLetterItem]:
        """A page of dead letters, the newest first.

        Args:
            wanted: field to value, of `robot_id`, `session_id`, `producer`, `stream`, `code`; None does not filter.
            limit: how many at most.
            cursor: of the page before.

        Raises:
            Refused: a parameter cannot be read.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        fields = {name: value for name, value in wanted.items() if value is not None}
        found = await self._letters.page(fields, count + 1, decode_cursor(cursor, tuple[int, str]))
        following = next_cursor(found, count, lambda d: (d["arrived_ms"], d["_id"]))
        return Page(items=[_item(d) for d in found[:count]], next_cursor=following)


def _item(document: Document) -> DeadLetterItem:
    arrived_ns = document["arrived_ms"] * _NS_PER_MS
    return DeadLetterItem(
        dead_letter_id=document["_id"],
        robot_id=document.get("robot_id"),
        session_id=document.get("session_id"),
        producer=document.get("producer"),
        stream=document.get("stream"),
        seq=plain(document.get("seq")),
        code=document["code"],
        detail=document["detail"],
        size_bytes=int(document["size_bytes"]),
        truncated=bool(document.get("truncated")),
        arrived_ns=str(arrived_ns),
        timestamp=timestamp_s(arrived_ns),
        url=f"/api/v1/dead-letters/{document['_id']}/content",
    )
