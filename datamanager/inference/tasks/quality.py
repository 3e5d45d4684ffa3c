"""Task `quality`: numbers about a picture, by name."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.tasks.task import Array, Call, FrameTask, Outputs, Shapes, floats

__all__ = ["TASK"]

_COMPARED = ("motion",)


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:  # noqa: ARG001  # every task is asked alike
    """With `options.values`: the names, from the outputs' where the manifest has none."""
    names = _names(manifest.options.get("values", list(shapes)), "values")
    _names(manifest.options.get("compared", []), "compared")
    if set(names) <= set(shapes):
        wrong = [name for name in names if int(np.prod(shapes[name][1:])) != 1]
        if wrong:
            raise Refused("bad_payload", f"output {wrong[0]!r} is {shapes[wrong[0]]}, not one number for each picture")
    else:
        shape = next(iter(shapes.values()), ())
        if shape[1:] != (len(names),):
            detail = f"options.values names {len(names)} numbers; the model's output is {shape}"
            raise Refused("bad_payload", detail)
    return msgspec.structs.replace(manifest, options={**manifest.options, "values": names})


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    names: list[str] = call.manifest.options["values"]
    compared = call.manifest.options.get("compared", _COMPARED)
    rows = _rows(outputs, names).tolist()
    answers = []
    for row, numbers in enumerate(rows):
        values = dict(zip(names, numbers, strict=True))
        if not call.has_previous[row]:  # nothing was compared: a 0 would say that nothing moved
            values = {name: value for name, value in values.items() if name not in compared}
        answers.append(call.answer(row, values={name: value for name, value in values.items() if np.isfinite(value)}))
    return answers


def _rows(outputs: Outputs, names: list[str]) -> Array:
    """Shape (pictures, names): from an output for each name, or from the columns of the first."""
    if set(names) <= set(outputs):
        return np.stack([floats(outputs[name]).reshape(-1) for name in names], axis=1)
    return floats(next(iter(outputs.values())))


def _names(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise Refused("wrong_type", f"options.{what} is a list of names")
    if len(set(value)) != len(value):
        raise Refused("bad_payload", f"options.{what} names a value twice")
    return value


TASK = FrameTask(_complete, _read)
