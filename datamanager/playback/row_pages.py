"""Pages of the rows of csv records."""

from typing import Any

import msgspec

from datamanager.errors import RangeTooLarge
from datamanager.kinds.csv.pages import Column, read_page
from datamanager.playback.contents import Contents
from datamanager.playback.pages import DEFAULT_LIMIT
from datamanager.playback.params import decode_cursor, encode_cursor, parse_int, parse_list

__all__ = ["RowPages", "Rows"]

_MOST_ROW = 10**15


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of a table.

    Attributes:
        columns: their names, and their types: null, bool, int, float, time or string.
        rows: cells in the order of `columns`; null where there is none.
        offset: the number of the first row, from 0.
        next_cursor: leads to the row after them; null when there is none.
        total_rows: how many rows the table has, as far as they were counted.
        rows_complete: whether all were counted.
    """

    record_id: str
    columns: list[Column]
    rows: list[list[Any]]
    offset: int
    next_cursor: str | None
    total_rows: int
    rows_complete: bool


class RowPages:
    """Answers `/records/{record_id}/rows`."""

    def __init__(self, contents: Contents, *, page_limit: int) -> None:
        self._contents = contents
        self._page_limit = page_limit

    async def page(
        self, record_id: str, *, offset: str | None, limit: str | None, columns: list[str] | None, cursor: str | None
    ) -> Rows:
        """A page of rows; `cursor` goes before `offset`.

        Raises:
            NotFound: there is no such record or column.
            RangeTooLarge: the offset is too far behind every place that is known; says where one can go on.
            Refused: a parameter cannot be read, or the record is no table.
        """
        first = parse_int(offset, "offset", default=0, most=_MOST_ROW, least=0)
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        place = decode_cursor(cursor, tuple[int, int])
        document, source = await self._contents.open(record_id, {"csv"})
        page = await self._contents.call(read_page, source, document["table"], place, first, count, parse_list(columns))
        following = None if page.next is None else encode_cursor(page.next)
        if place is None and page.offset < first and following is not None:
            raise RangeTooLarge(
                f"row {first} is too far on to be counted to at once; cursor={following} is at row {page.offset}"
            )
        return Rows(
            record_id=record_id,
            columns=page.columns,
            rows=page.rows,
            offset=page.offset,
            next_cursor=following,
            total_rows=int(document["table"]["rows"]),
            rows_complete=document["table"]["complete"],
        )
