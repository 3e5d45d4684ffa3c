"""Task `embed`: a picture as a vector of length 1, so that the product of two says how alike they are."""

from collections.abc import Mapping

import numpy as np

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.tasks.task import Call, FrameTask, Outputs, Shapes, floats

__all__ = ["TASK"]

_MOST = 8192  # numbers: as many channels does its stream get


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:  # noqa: ARG001  # every task is asked alike
    shape = next(iter(shapes.values()), ())
    size = int(np.prod(shape[1:]))
    if len(shape) < 2 or size != max(shape[1:]) or not 1 <= size <= _MOST:
        raise Refused("bad_payload", f"an embedding is (batch, 1 to {_MOST}); the model's output is {shape}")
    return manifest


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    first = next(iter(outputs.values()))
    vectors = floats(first.reshape(len(first), -1))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is answered for below
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    answers = []
    for row, length in enumerate(lengths):
        if not np.isfinite(length) or length == 0:
            answers.append(FrameAnswer(error="the model gives no vector for this picture: it is 0 or not finite"))
            continue
        answers.append(call.answer(row, vector=(vectors[row] / length).astype(np.float32)))
    return answers


TASK = FrameTask(_complete, _read)
