"""Masks on a grid that covers the upright picture, and their run lengths."""

from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.inference.manifest import FrameInput
from datamanager.inference.placement import Placement
from datamanager.inference.tasks.task import Array, floats

__all__ = ["grid_of", "nearest", "run_lengths", "sample", "value_runs"]

Size = tuple[int, int]


def grid_of(at: Placement, longest: int) -> Size:
    """Height and width of a grid as wide and high as the picture, its longer side `longest` cells (or its pixels)."""
    factor = min(1.0, longest / max(at.width, at.height))
    return max(1, round(at.height * factor)), max(1, round(at.width * factor))


def sample(maps: Array, at: Placement, spec: FrameInput, grid: Size) -> npt.NDArray[np.float32]:
    """Maps over the input as maps over the picture, bilinear between their cells.

    Args:
        maps: shape (n, height, width), stretched over the whole input.
        at: where the picture lies in the input.
        spec: the input.
        grid: height and width of what is wanted.

    Returns:
        Shape (n, *grid).
    """
    down = _weights(_places(grid[0], at.height, at.scale_y, at.top, maps.shape[1] / spec.height), maps.shape[1])
    across = _weights(_places(grid[1], at.width, at.scale_x, at.left, maps.shape[2] / spec.width), maps.shape[2])
    return floats(down @ floats(maps) @ across.T)


def nearest(numbers: Array, at: Placement, spec: FrameInput, grid: Size) -> Array:
    """A map of class numbers, shape (height, width), over the picture: of each cell, the class of the nearest."""
    rows = _places(grid[0], at.height, at.scale_y, at.top, numbers.shape[0] / spec.height)
    columns = _places(grid[1], at.width, at.scale_x, at.left, numbers.shape[1] / spec.width)
    rows = np.clip(np.rint(rows), 0, numbers.shape[0] - 1).astype(np.int64)
    columns = np.clip(np.rint(columns), 0, numbers.shape[1] - 1).astype(np.int64)
    found: Array = numbers[np.ix_(rows, columns)]
    return found


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """`{"size": [height, width], "runs": [...]}`: lengths of runs of cells, row by row, in turn without and within.

    The first is of cells without, and may be 0; together they are height times width.
    """
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return {"size": list(mask.shape), "runs": [0, *runs] if flat[0] else runs}


def value_runs(numbers: Array) -> dict[str, Any]:
    """`{"size": [height, width], "runs": [[number, length], ...]}`, row by row."""
    flat = numbers.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [flat.size])))
    return {"size": list(numbers.shape), "runs": np.stack([flat[starts], lengths], axis=1).tolist()}


def _places(cells: int, side: int, scale: float, offset: float, per_pixel: float) -> npt.NDArray[np.float64]:
    """Where the middles of the grid's cells lie in a map, counted in its cells from the middle of the first."""
    middles = (np.arange(cells) + 0.5) * side / cells
    places: npt.NDArray[np.float64] = (middles * scale + offset) * per_pixel - 0.5
    return places


def _weights(places: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float32]:
    """Shape (places, cells): how much of each cell is in what lies at a place between two."""
    inside = np.clip(places, 0, cells - 1)
    low = np.floor(inside).astype(np.int64)
    high = np.minimum(low + 1, cells - 1)
    part = inside - low
    weights = np.zeros((len(places), cells), np.float32)
    rows = np.arange(len(places))
    np.add.at(weights, (rows, low), 1 - part)
    np.add.at(weights, (rows, high), part)
    return weights
