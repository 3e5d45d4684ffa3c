"""Rows of a table from any place on, and the place of the next: a byte, at which reading can begin again."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Self, cast

import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.csv.dialect import Dialect
from datamanager.kinds.csv.encoding import Encoding, width_of
from datamanager.kinds.source import Source

__all__ = ["MAX_COLUMNS", "MAX_FIELD_CHARS", "Layout", "RowReader", "column_names", "count_rows"]

MAX_COLUMNS = 16_384
MAX_FIELD_CHARS = 1 << 20
_MAX_LINE_CHARS = 4 << 20
_MAX_NAME = 200
_PIECE_BYTES = 512 * 1024
_LF, _CR = 10, 13


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written.

    Attributes:
        start: the byte that its first row begins at.
        header: whether that row names the columns.
    """

    encoding: Encoding
    dialect: Dialect
    start: int
    header: bool

    def stored(self) -> dict[str, Any]:
        """The same as a map, for the record's document."""
        return {
            "encoding": self.encoding.name,
            "delimiter": self.dialect.delimiter,
            "quote": self.dialect.quote,
            "escape": self.dialect.escape,
            "skip_spaces": self.dialect.skip_spaces,
            "start": self.start,
            "header": self.header,
        }

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """What `stored` gave."""
        dialect = Dialect(stored["delimiter"], stored["quote"], stored["escape"], stored["skip_spaces"])
        return cls(Encoding(stored["encoding"]), dialect, int(stored["start"]), bool(stored["header"]))


class RowReader:
    """The rows from a byte on; an empty line is a row without cells. It holds a row and a piece of the content at a time.

    Attributes:
        at: the byte after the row that was given last.
    """

    def __init__(self, source: Source, layout: Layout, at: int) -> None:
        csv.field_size_limit(MAX_FIELD_CHARS)
        self.at = at
        self._encoding = layout.encoding
        self._text = io.TextIOWrapper(
            cast("BinaryIO", _Pieces(source, at)), layout.encoding.name, layout.encoding.errors, newline=""
        )
        self._rows = layout.dialect.reader(self._lines())

    def __iter__(self) -> Iterator[list[str]]:
        """The rows.

        Raises:
            Refused: `too_large` for a row with a line, a cell or a number of cells beyond every measure; the offset is the row's.
        """
        while True:
            began = self.at
            try:
                row = next(self._rows, None)
            except csv.Error as exc:
                detail = f"a cell has more than {MAX_FIELD_CHARS} characters, or a quote is not closed ({exc})"
                raise Refused("too_large", detail, offset=began) from exc
            if row is None:
                return
            if len(row) > MAX_COLUMNS:
                raise Refused("too_large", f"a row has {len(row)} cells; at most {MAX_COLUMNS} are read", offset=began)
            yield row

    def _lines(self) -> Iterator[str]:
        readline, encoding = self._text.readline, self._encoding
        while line := readline(_MAX_LINE_CHARS):
            if len(line) >= _MAX_LINE_CHARS and line[-1] not in "\r\n":
                raise Refused("too_large", f"a line has more than {_MAX_LINE_CHARS} characters", offset=self.at)
            self.at += len(line) if encoding.unit == 1 and line.isascii() else width_of(line, encoding)
            yield line


def count_rows(piece: bytes, layout: Layout) -> int | None:
    """How many rows stand in whole lines; None where a line need not be a row: for something is quoted, or parted by a bare CR."""
    quote = layout.dialect.quote
    if layout.encoding.unit > 1 or not piece or (quote and quote.encode(layout.encoding.name) in piece):
        return None
    if piece.count(b"\r") != piece.count(b"\r\n"):
        return None
    data = np.frombuffer(piece, np.uint8)
    ends = data == _LF
    empty = int(ends[0]) + int(np.count_nonzero(ends[1:] & ends[:-1]))
    if b"\r" in piece:
        returns = data == _CR
        empty += int(piece.startswith(b"\r\n")) + int(np.count_nonzero(ends[2:] & returns[1:-1] & ends[:-2]))
    return int(np.count_nonzero(ends)) + (not piece.endswith(b"\n")) - empty


class _Pieces(io.BufferedIOBase):
    """Content from a byte on, in pieces worth a request each, whatever size is asked for: a wrapper asks for 8 kB."""

    def __init__(self, source: Source, at: int) -> None:
        self._source = source
        self._at = at

    def readable(self) -> bool:
        """Yes."""
        return True

    def read1(self, size: int = -1) -> bytes:  # noqa: ARG002  # see above
        """The next piece; empty at the end."""
        piece = self._source.read(self._at, _PIECE_BYTES)
        self._at += len(piece)
        return piece


def column_names(first: list[str] | None, width: int) -> list[str]:
    """The names of `width` columns: those of the header `first`, each once, and `column_3` where it has none."""
    names: dict[str, None] = {}
    for i in range(width):
        name = _clean(first[i]) if first is not None and i < len(first) else ""
        name = name or f"column_{i + 1}"
        number = 2
        while name in names:
            name, number = f"{name.rpartition('_')[0] if number > 2 else name}_{number}", number + 1
        names[name] = None
    return list(names)


def _clean(name: str) -> str:
    return name.encode("utf-8", "replace").decode().strip().strip("\ufeff")[:_MAX_NAME]
