"""One walk through a table: its columns' types, its rows counted, and places at which reading can begin again."""

import time
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.csv.cells import TYPES, widen
from datamanager.kinds.csv.rows import MAX_COLUMNS, Layout, RowReader, column_names, count_rows
from datamanager.kinds.source import Source

__all__ = ["Scan"]

_TYPED_CELLS = 200_000  # a quarter of a second's worth
_SHOWN_COLUMNS = 256
_CPU_S = 0.8
_CHECK_ROWS = 4096
_PIECE_BYTES = 1 << 20
_BATCH_ROWS = 256
_STRIDE_BYTES = 256 * 1024  # between two places at which reading can begin without reading what stands before
_MOST_PLACES = 512
_LETTERS = {name: letter for letter, name in TYPES.items()}


class Scan:
    """One walk through a table."""

    def __init__(self, source: Source, layout: Layout, sample: str) -> None:
        self._source = source
        self._layout = layout
        rows = layout.dialect.rows(sample)
        self._first: list[str] | None = rows[0] if rows and layout.header else None
        widths = [len(row) for row in rows]
        width = len(self._first) if self._first is not None else max(widths, key=widths.count, default=0)
        if width > MAX_COLUMNS:
            raise Refused("too_large", f"{width} columns; at most {MAX_COLUMNS} are read", offset=layout.start)
        self._names = column_names(self._first, width)
        self._types = ["null"] * width
        self._rows = 0
        self._typed_rows = 0
        self._cells = 0
        self._ragged = 0
        self._is_complete = False
        self._is_begun = False
        self._places: list[list[int]] = []
        self._at = layout.start

    def run(self, most_bytes: int) -> None:
        """Walks until the end, or as far as is allowed: first row by row, then, where nothing is quoted, line by line."""
        until_s = time.process_time() + _CPU_S
        while not self._is_complete and self._at < most_bytes and time.process_time() < until_s:
            if self._cells < _TYPED_CELLS or not self._count_piece():
                self._read_rows(most_bytes, until_s)

    def _read_rows(self, most_bytes: int, until_s: float) -> None:
        """Reads rows up to the next place."""
        reader = RowReader(self._source, self._layout, self._at)
        next_place = self._at + _STRIDE_BYTES
        batch: list[list[str]] = []
        for number, row in enumerate(reader, 1):
            self._at = reader.at
            if row and not self._is_begun:
                self._is_begun = True
                if self._layout.header:
                    continue
            if row:
                self._take(row, batch)
            if not number % _BATCH_ROWS:
                batch = self._type(batch)
            if self._at >= next_place or (not number % _CHECK_ROWS and time.process_time() > until_s):
                break
        else:
            self._is_complete = True
            self._at = self._source.size
        self._type(batch)
        if self._at < most_bytes:
            self._keep_place()

    def _take(self, row: list[str], batch: list[list[str]]) -> None:
        self._rows += 1
        if self._cells < _TYPED_CELLS:
            self._cells += len(row)
            self._ragged += len(row) != len(self._names)
            batch.append(row)

    def _count_piece(self) -> bool:
        """Counts the lines of the next piece; False where rows may be something else."""
        piece = self._source.read(self._at, _PIECE_BYTES)
        if self._at + len(piece) < self._source.size:
            piece = piece[: piece.rfind(b"\n") + 1]
        rows = count_rows(piece, self._layout)
        if rows is None:
            return False
        self._rows += rows
        self._at += len(piece)
        self._is_complete = self._at >= self._source.size
        self._keep_place()
        return True

    def _keep_place(self) -> None:
        if self._is_begun and not self._is_complete and len(self._places) < _MOST_PLACES:
            self._places.append([self._rows, self._at])

    def _type(self, batch: list[list[str]]) -> list[list[str]]:
        self._typed_rows += len(batch)
        for i, known in enumerate(self._types):
            if known != "string":
                self._types[i] = widen(known, [row[i] for row in batch if i < len(row)])
        return []

    @property
    def row_bytes(self) -> float:
        """The mean size of a row."""
        return (self._at - self._layout.start) / max(1, self._rows)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is told of the table."""
        columns = [{"name": n, "type": _shown(t)} for n, t in zip(self._names, self._types, strict=True)]
        found: dict[str, Any] = {
            "encoding": self._layout.encoding.name,
            "delimiter": self._layout.dialect.delimiter,
            "quote": self._layout.dialect.quote,
            "header": self._layout.header,
            "columns": columns[:_SHOWN_COLUMNS],
            "column_count": len(columns),
            "rows": self._rows,
            "rows_complete": self._is_complete,
            "ragged_rows": self._ragged,
        }
        if not self._is_complete:
            found["counted_bytes"] = self._at
        if self._typed_rows < self._rows:
            found["typed_rows"] = self._typed_rows
        return found

    @property
    def fields(self) -> dict[str, Any]:
        """What reading it back needs."""
        letters = "".join(_LETTERS[t] for t in self._types)
        counted = {"rows": self._rows, "complete": self._is_complete}
        return {"table": {**self._layout.stored(), **counted, "types": letters, "places": self._places}}


def _shown(name: str) -> str:
    return "int" if name == "bigint" else name
