"""Pages of dead letters."""

from datetime import UTC, datetime, timedelta

import msgspec

from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import decode_cursor, parse_int
from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.storage.dead_letter_queries import DeadLetterQueries
from datamanager.storage.mongo import Document

__all__ = ["DeadLetterItem", "DeadLetterPages"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DeadLetterItem(msgspec.Struct, frozen=True, kw_only=True):
    """One refused message.

    Attributes:
        size_bytes: how large it was.
        truncated: whether it was too large to be kept whole.
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
        after = decode_cursor(cursor, tuple[str])
        found = await self._letters.page(fields, count + 1, after[0] if after else None)
        following = next_cursor(found, count, lambda d: (d["_id"],))
        return Page(items=[_item(d) for d in found[:count]], next_cursor=following)


def _item(document: Document) -> DeadLetterItem:
    arrived_ns = (document["arrived"] - _EPOCH) // timedelta(microseconds=1) * 1000
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
