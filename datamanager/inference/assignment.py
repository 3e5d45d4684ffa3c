"""Which of some belongs to which of others, so that the sum of their likenesses is largest."""

from itertools import permutations

import numpy as np
import numpy.typing as npt

__all__ = ["assign"]

Floats = npt.NDArray[np.float64]
Pair = tuple[int, int]

_SMALLEST = 9  # likenesses: up to three and three
_LARGEST_EXACT = 48  # rows or columns: a knot of more is solved greedily, so that nobody can make it take long


def assign(likeness: Floats, least: float) -> list[Pair]:
    """Pairs of a row and a column, each in one pair at most, whose likeness is at least `least`.

    What can only be paired with each other falls into small knots, and each is solved by itself: exactly, by shortest
    augmenting paths (R. Jonker and A. Volgenant, Computing 38, 1987), or greedily where it has more than 48 sides.

    Args:
        likeness: shape (rows, columns), 0 to 1.
        least: above 0.
    """
    rows, columns = np.nonzero(likeness >= least)
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    pairs = _pairs(rows[alone], columns[alone])
    for some, others in _knots(_pairs(rows[~alone], columns[~alone])):
        part = likeness[np.ix_(some, others)]
        solve = _exactly if max(part.shape) <= _LARGEST_EXACT else _greedily
        pairs += [(some[row], others[column]) for row, column in solve(np.where(part >= least, part, 0.0))]
    return sorted(pairs)


def _pairs(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> list[Pair]:
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _knots(allowed: list[Pair]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns that hang together by what is allowed."""
    of_row: dict[int, list[int]] = {}
    of_column: dict[int, list[int]] = {}
    for row, column in allowed:
        of_row.setdefault(row, []).append(column)
        of_column.setdefault(column, []).append(row)
    knots: list[tuple[list[int], list[int]]] = []
    while of_row:
        start = next(iter(of_row))
        rows, columns, to_visit = [], [], [start]
        neighbours = {start: of_row.pop(start)}
        while to_visit:
            row = to_visit.pop()
            rows.append(row)
            for column in neighbours[row]:
                others = of_column.pop(column, None)
                if others is None:
                    continue
                columns.append(column)
                for other in others:
                    if other in of_row:
                        neighbours[other] = of_row.pop(other)
                        to_visit.append(other)
        knots.append((sorted(rows), sorted(columns)))
    return knots


def _greedily(likeness: Floats) -> list[Pair]:
    """The likest pair first, and so on."""
    rows, columns = np.nonzero(likeness)
    order = np.argsort(-likeness[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return list(pairs.items())


def _exactly(likeness: Floats) -> list[Pair]:
    """The largest sum; what is paired at a likeness of 0 is not paired."""
    is_turned = likeness.shape[0] > likeness.shape[1]
    values = likeness.T if is_turned else likeness
    owner = _by_trying(values.tolist()) if values.size <= _SMALLEST else _shortest_paths(1.0 - values)
    pairs = [(row, column) for column, row in enumerate(owner) if row >= 0 and values[row, column] > 0]
    return [(column, row) for row, column in pairs] if is_turned else pairs


def _by_trying(values: list[list[float]]) -> list[int]:
    """The row that each column belongs to, as of `_shortest_paths`: most knots are of two and two."""
    columns = range(len(values[0]))
    best = max(
        permutations(columns, len(values)),
        key=lambda order: sum(row[column] for row, column in zip(values, order, strict=True)),
    )
    return [best.index(column) if column in best else -1 for column in columns]


def _shortest_paths(cost: Floats) -> list[int]:
    """The row that each column belongs to, -1 for none, at the least cost; there are no more rows than columns.

    Rows come in one by one; each finds its column by the cheapest path that moves rows before it to other columns. The
    potentials keep every reduced cost, cost - of_row - of_column, at 0 or above, so that Dijkstra's way holds.
    """
    rows, columns = cost.shape
    of_row, of_column = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        shortest = np.full(columns, np.inf)
        via = np.full(columns, -1)  # the column before, on the path; -1: the path begins here
        done = np.zeros(columns, np.bool_)
        row, last, length = start, -1, 0.0
        while True:
            through = length + cost[row] - of_row[row] - of_column
            better = ~done & (through < shortest)
            shortest[better], via[better] = through[better], last
            last = int(np.argmin(np.where(done, np.inf, shortest)))
            length = float(shortest[last])
            done[last] = True
            if owner[last] < 0:
                break
            row = int(owner[last])
        gained = length - shortest[done]
        of_column[done] -= gained
        of_row[start] += length
        visited = np.flatnonzero(done & (owner >= 0))
        of_row[owner[visited]] += length - shortest[visited]
        while last >= 0:  # every row of the path moves on by one column
            before = int(via[last])
            owner[last] = start if before < 0 else owner[before]
            last = before
    found: list[int] = owner.tolist()
    return found
