"""Rows of a table as samples: in batches that are the same however often and wherever they are made."""

import array
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.csv.cells import value_of
from datamanager.kinds.csv.pages import Place, Table
from datamanager.kinds.csv.times import check_unit, find_unit, time_parser
from datamanager.kinds.kind import Hints
from datamanager.kinds.source import Source

__all__ = ["Batches", "read_batches", "series_of"]

_LOOKED_AT_ROWS = 1000
_BATCH_BYTES = 90_000  # about a block
_MOST_BATCH_ROWS = 4096
_STEP_BYTES = 2 << 20
_CPU_S = 0.6


@dataclass(frozen=True, slots=True)
class Batches:
    """Some of a table's rows.

    Attributes:
        payloads: the number of each batch, and its rows as a columnar payload of `time_series`.
        next: where the next batch begins; None when there is none.
        rows: how many rows are in the payloads.
        skipped: how many are not, for their time is none.
    """

    payloads: list[tuple[int, dict[str, Any]]]
    next: Place | None
    rows: int
    skipped: int


def series_of(source: Source, stored: dict[str, Any], hints: Hints, row_bytes: float) -> dict[str, Any] | None:
    """What the record's document keeps about the stream that its rows become; None when the payload asks for none.

    Args:
        source: the content.
        stored: how the table is written.
        hints: the payload may name `time_column` and `time_unit`.
        row_bytes: the mean size of a row.

    Raises:
        Refused: `missing_field`: there is no such column; `bad_time`: what is in it is no time; `bad_payload`.
    """
    name, unit = hints.text("time_column"), check_unit(hints.text("time_unit"))
    if name is None:
        return None
    table = Table(source, stored)
    if name not in table.names:
        raise Refused(
            "missing_field", f"there is no column {name[:80]!r}; time_column names one of {_some(table.names)}"
        )
    if len(table.names) < 2:
        raise Refused("bad_payload", "the table has no column beside its time_column")
    column = table.names.index(name)
    cells = [row[column] for row, _ in islice(table.rows(table.start), _LOOKED_AT_ROWS) if column < len(row)]
    unit = unit or find_unit(cells)
    parse = time_parser(unit) if unit is not None else None
    if unit is None or parse is None or (cells and all(parse(cell) is None for cell in cells)):
        raise Refused("bad_time", f"column {name[:80]!r} holds no times{'' if unit is None else f' in {unit}'}")
    sample_bytes = max(16 + 8 * len(table.names), row_bytes)
    return {
        "state": "pending",
        "due_ns": 0,
        "column": column,
        "unit": unit,
        "batch_rows": int(max(1, min(_MOST_BATCH_ROWS, _BATCH_BYTES // sample_bytes))),
        "at": list(table.start),
        "rows": 0,
        "skipped": 0,
    }


def read_batches(source: Source, stored: dict[str, Any], series: dict[str, Any]) -> Batches:
    """The next batches of a table, from `series["at"]` on: about 2 MB of it, or what takes half a second.

    Args:
        source: the content.
        stored: how the table is written.
        series: what `series_of` gave, its `at` where a batch begins.

    Raises:
        Refused: a row cannot be read.
    """
    table = Table(source, stored)
    place = (int(series["at"][0]), int(series["at"][1]))
    batch_rows, column = int(series["batch_rows"]), int(series["column"])
    parse = time_parser(series["unit"])
    began, until_s = place, time.process_time() + _CPU_S
    rows = table.rows(place)
    payloads: list[tuple[int, dict[str, Any]]] = []
    taken = skipped = 0
    while place[1] - began[1] < _STEP_BYTES and time.process_time() < until_s:
        some = list(islice(rows, batch_rows))
        if not some:
            return Batches(payloads, None, taken, skipped)
        timed = [(t_ns, row) for row, _ in some if column < len(row) and (t_ns := parse(row[column])) is not None]
        if timed:
            payloads.append((place[0] // batch_rows, _payload(table, column, timed)))
        taken += len(timed)
        skipped += len(some) - len(timed)
        place = some[-1][1]
        if len(some) < batch_rows:
            return Batches(payloads, None, taken, skipped)
    return Batches(payloads, place, taken, skipped)


def _payload(table: Table, column: int, timed: Sequence[tuple[int, list[str]]]) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    for i, (name, kind) in enumerate(zip(table.names, table.types, strict=True)):
        if i != column:
            cells = [row[i] if i < len(row) else "" for _, row in timed]
            channels[name] = (_floats(cells) if kind == "float" else None) or [_value(cell, kind) for cell in cells]
    return {"t_ns": array.array("q", [t_ns for t_ns, _ in timed]).tobytes(), "channels": channels}


def _floats(cells: Sequence[str]) -> bytes | None:
    """The bytes of a column that is float64 throughout; None of one that is not."""
    try:
        values = array.array("d", map(float, cells))
    except ValueError:
        return None
    return None if any("_" in cell for cell in cells) else values.tobytes()


def _value(cell: str, kind: str) -> object:
    value = value_of(cell, kind)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _some(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:10]) + (", …" if len(names) > 10 else "")
