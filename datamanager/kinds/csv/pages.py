"""Pages of a table's rows as typed values, from any row or place on."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from datamanager.errors import NotFound, Refused
from datamanager.kinds.csv.cells import TYPES, value_of
from datamanager.kinds.csv.rows import Layout, RowReader, column_names, count_rows
from datamanager.kinds.source import Source

__all__ = ["Column", "Place", "RowPage", "Table", "read_page"]

Place = tuple[int, int]
_PAGE_BYTES = 4 << 20
_COUNTED_BYTES = 128 << 20
_COUNTED_S = 0.8
_LINES_BYTES = 1 << 20
_CPU_S = 0.8
_CHECK_ROWS = 512


class Column(msgspec.Struct, frozen=True):
    """One column: its name and type: null, bool, int, float, time or string."""

    name: str
    type: str


class RowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows.

    Attributes:
        rows: cells in the order of `columns`; what a row has beyond the table's columns stands behind them, as text.
        offset: the number of the first of them, from 0.
        next: the number and the byte of the row after them; None when there is none.
    """

    columns: list[Column]
    rows: list[list[Any]]
    offset: int
    next: Place | None


class Table:
    """A table as its record's document knows it.

    Args:
        source: the content.
        stored: what `examine` found: `fields["table"]`.
    """

    def __init__(self, source: Source, stored: dict[str, Any]) -> None:
        self._source = source
        self.layout = Layout.of(stored)
        self.types = [TYPES[letter] for letter in stored["types"]]
        self._places: list[list[int]] = stored["places"]
        first: list[str] | None = None
        self._first_row = self.layout.start
        if self.layout.header:
            reader = RowReader(source, self.layout, self.layout.start)
            first = next((row for row in reader if row), None)
            self._first_row = reader.at
        self.names = column_names(first, len(self.types))

    @property
    def start(self) -> Place:
        """Where the rows begin."""
        return 0, self._first_row

    def near(self, row: int) -> Place:
        """The last known place at or before a row."""
        known = [(int(number), int(at)) for number, at in self._places if number <= row]
        return max(known, default=self.start)

    def count_lines(self, place: Place) -> Place | None:
        """The place some lines further; None where a line need not be a row, for something is quoted."""
        number, at = place
        piece = self._source.read(at, _LINES_BYTES)
        piece = piece[: piece.rfind(b"\n") + 1]
        rows = count_rows(piece, self.layout)
        return None if rows is None else (number + rows, at + len(piece))

    def rows(self, place: Place) -> Iterator[tuple[list[str], Place]]:
        """The rows from a place on, each with the place after it."""
        number, at = place
        if not self._first_row <= at <= self._source.size:
            raise Refused("malformed", "the cursor is none of this record")
        reader = RowReader(self._source, self.layout, at)
        for row in reader:
            if row:
                number += 1
                yield row, (number, reader.at)


def read_page(
    source: Source, stored: dict[str, Any], place: Place | None, offset: int, limit: int, columns: Sequence[str]
) -> RowPage:
    """A page of at most `limit` rows; fewer where they are large.

    A row may be so far from every place that is known that finding it would take too long. Then there are no rows, and
    `offset` and `next` are of the row up to which was counted.

    Args:
        source: the content.
        stored: how it is written, as `examine` found.
        place: where the page begins; None to begin with row `offset`.
        offset: the number of the first row, where no place is given.
        limit: how many rows at most.
        columns: which columns, in this order; all when none is named.

    Raises:
        NotFound: a column is not there.
        Refused: a row cannot be read.
    """
    table = Table(source, stored)
    chosen = _chosen(table.names, columns)
    if place is None:
        place = _place_of(table, offset)
        if place[0] < offset and place[1] < source.size:
            limit = 0
    began, until_s = place, time.process_time() + _CPU_S
    rows: list[list[Any]] = []
    kinds = table.types
    following: Place | None = None
    for row, after in table.rows(place):
        is_full = after[1] - began[1] > _PAGE_BYTES or (not len(rows) % _CHECK_ROWS and time.process_time() > until_s)
        if len(rows) >= limit or (is_full and rows):
            following = place
            break
        rows.append(
            [value_of(_text(row[i]), kinds[i]) if i < len(row) else None for i in chosen]
            + ([] if columns else [_text(cell) for cell in row[len(kinds) :]])
        )
        place = after
    shown = [Column(table.names[i], "int" if kinds[i] == "bigint" else kinds[i]) for i in chosen]
    return RowPage(columns=shown, rows=rows, offset=began[0], next=following)


def _chosen(names: list[str], columns: Sequence[str]) -> list[int]:
    places = {name: i for i, name in enumerate(names)}
    for name in columns:
        if name not in places:
            raise NotFound(f"the table has no column {name[:80]!r}")
    return [places[name] for name in columns] or list(range(len(names)))


def _place_of(table: Table, offset: int) -> Place:
    """Where a row is; or, when that is too far behind what is known, how far it was counted."""
    place = table.near(offset)
    began, until_s = place[1], time.monotonic() + _COUNTED_S
    while place[0] < offset and place[1] - began < _COUNTED_BYTES and time.monotonic() < until_s:
        counted = table.count_lines(place)
        if counted is None or counted[0] > offset or counted[1] == place[1]:
            break
        place = counted
    for number, (_, after) in enumerate(table.rows(place) if place[0] < offset else (), 1):
        place = after
        is_over = after[1] - began >= _COUNTED_BYTES or time.monotonic() > until_s
        if after[0] >= offset or (is_over and not number % _CHECK_ROWS):
            break
    return place


def _text(cell: str) -> str:
    return cell if cell.isascii() else cell.encode("utf-8", "replace").decode()
