"""Task `segment`: masks of objects (YOLO's prototypes and weights), or a class for every place of a picture."""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.options import read_count, read_number
from datamanager.inference.placement import Placement
from datamanager.inference.tasks.boxes import Found, complete_boxes, find_boxes, to_boxes
from datamanager.inference.tasks.detect import count
from datamanager.inference.tasks.masks import grid_of, nearest, run_lengths, sample, value_runs
from datamanager.inference.tasks.names import class_names
from datamanager.inference.tasks.task import Array, Call, FrameTask, Outputs, Shapes, floats

__all__ = ["TASK"]

_LONGEST = 160  # cells of a mask's longer side
_MOST = 1024
_THRESHOLD = 0.5


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:
    """Two outputs are YOLO's boxes and prototypes, one is a map."""
    read_count(manifest.options, "mask_size", _LONGEST, _MOST)
    read_number(manifest.options, "threshold", _THRESHOLD)
    prototypes = _prototypes(shapes)
    if prototypes is not None:
        return complete_boxes(manifest, shapes[_rows(shapes)], metadata, extras=shapes[prototypes][1])
    shape = next(iter(shapes.values()), ())
    if len(shape) == 3:
        return msgspec.structs.replace(manifest, classes=class_names(manifest, metadata, None))
    if len(shape) != 4:
        takes = "(batch, classes, height, width), (batch, height, width) of class numbers, or boxes and prototypes"
        raise Refused("bad_payload", f"segments are {takes}; the model's output is {shape}")
    classes = None if shape[1] == 1 else shape[1]
    return msgspec.structs.replace(manifest, classes=class_names(manifest, metadata, classes))


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    shapes = {name: array.shape for name, array in outputs.items()}
    prototypes = _prototypes(shapes)
    if prototypes is not None:
        return _read_objects(outputs[_rows(shapes)], outputs[prototypes], call)
    first = next(iter(outputs.values()))
    return [_read_map(row, first[row], call) for row in range(len(first))]


def _read_objects(rows: Array, prototypes: Array, call: Call) -> list[FrameAnswer]:
    answers = []
    for row, found in enumerate(find_boxes(rows, call, extras=prototypes.shape[1])):
        boxes = to_boxes(found, call)
        masks = [run_lengths(mask) for mask in _object_masks(found, prototypes[row], call, call.placements[row])]
        answers.append(call.answer(row, boxes=boxes, values=count(boxes), extra={"masks": masks}))
    return answers


def _object_masks(found: Found, prototypes: Array, call: Call, at: Placement) -> npt.NDArray[np.bool_]:
    """Shape (boxes, *grid): where weights and prototypes make more than 0 (a chance of one half), within the box."""
    grid = grid_of(at, read_count(call.manifest.options, "mask_size", _LONGEST, _MOST))
    if len(found.boxes) < len(prototypes):  # both ways come to the same: the shorter one
        logits = sample(np.tensordot(found.extras, floats(prototypes), axes=1), at, call.spec, grid)
    else:
        logits = floats(np.tensordot(found.extras, sample(prototypes, at, call.spec, grid), axes=1))
    x = (np.arange(grid[1]) + 0.5) * at.width / grid[1]
    y = (np.arange(grid[0]) + 0.5) * at.height / grid[0]
    x1, y1, x2, y2 = (found.boxes[:, side, None] for side in range(4))
    across, down = (x >= x1) & (x < x2), (y >= y1) & (y < y2)
    masks: npt.NDArray[np.bool_] = (logits > 0) & down[:, :, None] & across[:, None, :]
    return masks


def _read_map(row: int, output: Array, call: Call) -> FrameAnswer:
    """The class of every cell, and the part of the picture that each class takes."""
    at = call.placements[row]
    numbers = _class_numbers(output, call, at)
    present, cells = np.unique(numbers, return_counts=True)
    areas = {f"area.{call.name(int(n))}": float(c / numbers.size) for n, c in zip(present, cells, strict=True)}
    wanted = call.choice.classes
    if wanted is not None:
        areas = {f"area.{call.name(n)}": areas.get(f"area.{call.name(n)}", 0.0) for n in sorted(wanted)}
    return call.answer(row, values=areas, extra={"map": value_runs(numbers)})


def _class_numbers(output: Array, call: Call, at: Placement) -> Array:
    options = call.manifest.options
    grid = grid_of(at, read_count(options, "mask_size", _LONGEST, _MOST))
    if output.ndim == 2 or (len(output) == 1 and output.dtype.kind in "iub"):
        return nearest(output.reshape(output.shape[-2:]), at, call.spec, grid).astype(np.int64)
    over_picture = sample(output, at, call.spec, grid)
    if len(over_picture) == 1:
        return np.asarray(over_picture[0] > read_number(options, "threshold", _THRESHOLD), np.int64)
    return np.asarray(over_picture.argmax(axis=0))


def _prototypes(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name of YOLO's prototypes: the output of four sides beside one of three."""
    sides = sorted(len(shape) for shape in shapes.values())
    return next(name for name, shape in shapes.items() if len(shape) == 4) if sides == [3, 4] else None


def _rows(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return next(name for name, shape in shapes.items() if len(shape) == 3)


TASK = FrameTask(_complete, _read)
