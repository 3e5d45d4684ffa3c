"""What parts the cells of a table, and whether its first row names them: found by trying, on its beginning."""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from datamanager.kinds.csv.cells import type_of

__all__ = ["Dialect", "find_dialect", "has_header"]

_MOST_ROWS = 100
_FIRST_CHARS = 4096
_LEAST_AGREEING = 0.5
# How likely each is what a table is parted by, where others part it as well.
_USUAL = {",": 1.0, "\t": 1.05, ";": 1.0, "|": 0.95, "\x1f": 1.0, "\x01": 1.0, " ": 0.55, ":": 0.5}
_UNUSUAL = 0.4
_NEVER = frozenset("\"'.-_+()[]{}<>/\\\r\n\0")
_SINGLE_QUOTED = re.compile(r"(?:^|[,;|\t])'[^'\n]*'(?=[,;|\t\r\n]|$)", re.MULTILINE)
_LINE_ENDS = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are parted and quoted.

    Attributes:
        quote: empty where nothing is quoted.
        escape: what stands before a quote that is a character; None where quotes are doubled.
        skip_spaces: whether spaces after a delimiter are no part of the cell.
    """

    delimiter: str
    quote: str
    escape: str | None = None
    skip_spaces: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The rows of lines; an empty line is a row without cells.

        Raises:
            csv.Error: a cell is too long.
        """
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.skip_spaces,
        )

    def rows(self, text: str) -> list[list[str]]:
        """The first rows of a text; a row that can't be read ends them."""
        found: list[list[str]] = []
        try:
            found.extend(row for row in islice(self.reader(_LINE_ENDS.split(text)), _MOST_ROWS) if row)
        except csv.Error:
            return found
        return found


def find_dialect(sample: str, delimiter: str | None = None, quote: str | None = None) -> Dialect:
    """The dialect of a table, of which `sample` is the beginning.

    Args:
        sample: whole lines.
        delimiter: as the sender says; None to find it.
        quote: the same.
    """
    quote = quote or ("'" if '"' not in sample and len(_SINGLE_QUOTED.findall(sample)) > 1 else '"')
    escape = "\\" if "\\" + quote in sample and quote * 2 not in sample else None
    if delimiter is None:
        delimiter = _best_delimiter(sample, quote, escape)
    plain = Dialect(delimiter, quote, escape)
    spaced = all(cell.startswith(" ") for row in plain.rows(sample) for cell in row[1:] if cell)
    return Dialect(delimiter, quote, escape, skip_spaces=spaced and delimiter != " ")


def _best_delimiter(sample: str, quote: str, escape: str | None) -> str:
    first = sample.lstrip("\r\n").partition("\n")[0][:_FIRST_CHARS]
    others = {c for c in first if not c.isalnum() and not c.isspace() and c not in _NEVER}
    best, best_score = ",", 0.0
    for candidate in [*_USUAL, *sorted(others - set(_USUAL))][:24]:
        if candidate == quote:
            continue
        score = _score(Dialect(candidate, quote, escape).rows(sample)) * _USUAL.get(candidate, _UNUSUAL)
        if score > best_score:
            best, best_score = candidate, score
    return best


def _score(rows: list[list[str]]) -> float:
    """How much rows look as if they were parted rightly: as many cells in each, and the more of them the better."""
    if not rows:
        return 0.0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    agreeing = count / len(rows)
    if width < 2:
        first = len(rows[0])  # a header and short rows
        width, agreeing = first, sum(1 < len(row) <= first for row in rows) / len(rows)
    if width < 2 or agreeing < _LEAST_AGREEING:
        return 0.0
    return agreeing * agreeing * (1 + 0.1 * math.log2(width)) * (1.1 if len(rows[0]) == width else 1.0)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: it holds only text, and no column below says otherwise."""
    if not rows:
        return False
    first = [cell.strip() for cell in rows[0]]
    named = [cell for cell in first if cell]
    if not named or any(type_of(cell) != "string" for cell in named):
        return False
    return len(set(named)) == len(named) or len(rows) > 1
