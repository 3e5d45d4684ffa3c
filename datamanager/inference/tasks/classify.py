"""Task `classify`: the likeliest classes of a picture."""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.options import read_count, read_flag
from datamanager.inference.tasks.names import class_names
from datamanager.inference.tasks.task import Array, Call, FrameTask, Outputs, Shapes, floats

__all__ = ["TASK"]

_TOP = 5
_MOST = 1000


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:
    shape = next(iter(shapes.values()), ())
    size = int(np.prod(shape[1:]))
    if len(shape) < 2 or size != max(shape[1:]) or size == 0:
        raise Refused("bad_payload", f"scores of classes are (batch, classes); the model's output is {shape}")
    read_count(manifest.options, "top", _TOP, _MOST)
    read_flag(manifest.options, "softmax")
    return msgspec.structs.replace(manifest, classes=class_names(manifest, metadata, size))


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    first = next(iter(outputs.values()))
    given = floats(first.reshape(len(first), -1)).astype(np.float64)
    scores = _probabilities(given, read_flag(call.manifest.options, "softmax"))
    top = read_count(call.manifest.options, "top", _TOP, _MOST)
    return [_answer(row, scores[row], top, call) for row in range(len(scores))]


def _answer(row: int, scores: npt.NDArray[np.float64], top: int, call: Call) -> FrameAnswer:
    if not np.isfinite(scores).all():
        return FrameAnswer(error="the model gives scores that are not finite for this picture")
    order = np.argsort(-scores, kind="stable")
    if call.choice.classes is not None:
        order = order[np.isin(order, list(call.choice.classes))]
    best = [(int(number), float(scores[number])) for number in order[:top]]
    values = {f"scores.{call.name(number)}": score for number, score in best}
    if not best:
        return call.answer(row)
    ranked = [{"class": call.name(number), "class_id": number, "score": score} for number, score in best]
    return call.answer(
        row, values={"top": float(best[0][0]), **values}, extra={"top": call.name(best[0][0]), "classes": ranked}
    )


def _probabilities(given: npt.NDArray[np.float64], softmax: bool | None) -> Array:
    """Scores that sum to 1; as given where they do so already, unless the manifest says which they are."""
    is_done = not softmax if softmax is not None else _sums_to_one(given)
    if is_done:
        return given
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is answered for
        powers = np.exp(given - given.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _sums_to_one(given: npt.NDArray[np.float64]) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool((given >= 0).all() and (np.abs(given.sum(axis=1) - 1) < 1e-2).all())


TASK = FrameTask(_complete, _read)
