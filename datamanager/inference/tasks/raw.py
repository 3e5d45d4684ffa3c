"""Task `raw`: the outputs as they are, whole where they are small."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.options import read_count
from datamanager.inference.tasks.task import Array, Call, FrameTask, Outputs, Shapes

__all__ = ["TASK"]

_WHOLE = 1024  # elements of an output that is given whole
_MOST_WHOLE = 65536
_FIRST = 16


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:  # noqa: ARG001  # every task is asked alike
    if not shapes:
        raise Refused("bad_payload", "the model has no outputs")
    read_count(manifest.options, "whole", _WHOLE, _MOST_WHOLE)
    return manifest


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    whole = read_count(call.manifest.options, "whole", _WHOLE, _MOST_WHOLE)
    return [
        _answer(row, {name: array[row] for name, array in outputs.items()}, whole, call)
        for row in range(len(call.placements))
    ]


def _answer(row: int, outputs: Mapping[str, Array], whole: int, call: Call) -> FrameAnswer:
    numbers = {name: float(array.reshape(-1)[0]) for name, array in outputs.items() if array.size == 1}
    return call.answer(
        row,
        values={name: number for name, number in numbers.items() if math.isfinite(number)},
        extra={"outputs": {name: _described(array, whole) for name, array in outputs.items()}},
    )


def _described(array: Array, whole: int) -> dict[str, Any]:
    """An output as JSON can hold it: NaN and infinities, for which JSON has no word, as null."""
    described: dict[str, Any] = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.size <= whole:
        return described | {"data": _plain(array.tolist())}
    finite = array[np.isfinite(array)].astype(np.float64)
    if finite.size:
        described |= {
            "min": float(finite.min()),
            "max": float(finite.max()),
            "mean": float(finite.mean()),
            "std": float(finite.std()),
        }
    return described | {"first": _plain(array.reshape(-1)[:_FIRST].tolist())}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


TASK = FrameTask(_complete, _read)
