"""Whether a model and its manifest fit each other, and what each says for the other."""

import ast
from collections.abc import Mapping

import msgspec

from datamanager.errors import Refused
from datamanager.inference.engine import Engine, Tensor
from datamanager.inference.manifest import FrameFit, FrameInput, Manifest

__all__ = ["check_exported_task", "fit_input", "fixed_batch"]

_LARGEST = 8192  # pixels of a side
_EXPORTED = ("detect", "segment", "classify", "pose", "obb", "depth")  # Ultralytics' words
_DTYPES = ("float32", "float16", "uint8")


def check_exported_task(manifest: Manifest, metadata: Mapping[str, str]) -> None:
    """Checks that a model is not read as what it was not exported for: a pose model's outputs look like a detector's.

    Raises:
        Refused: `bad_payload`: Ultralytics' exporter wrote another task into it.
    """
    exported = "segment" if metadata.get("task") == "semantic" else metadata.get("task", "")
    if exported in _EXPORTED and manifest.task in _EXPORTED and exported != manifest.task:
        raise Refused(
            "bad_payload", f"the model was exported for the task {exported}; the manifest says {manifest.task}"
        )


def fit_input(manifest: Manifest, engine: Engine) -> Manifest:
    """The manifest with its input as the model has it: name, dtype, and sides where the model's are fixed.

    Without an input in the manifest it is made from the model's first one, and from `imgsz` as Ultralytics exports it.

    Raises:
        Refused: `bad_payload`, naming the input that does not fit.
    """
    given = manifest.input
    names = [tensor.name for tensor in engine.inputs]
    if not names:
        raise Refused("bad_payload", "the model has no inputs")
    tensor = _find(engine, given.name if given and given.name else names[0])
    spec = given if given is not None else _from_model(tensor, engine.metadata, manifest)
    _check(tensor, spec)
    _check_numbers(spec)
    spec = msgspec.structs.replace(spec, name=tensor.name, dtype=tensor.dtype.name)
    if spec.previous:
        _check(_find(engine, spec.previous), spec)
        _check_twin(tensor, _find(engine, spec.previous))
    unfed = [name for name in names if name not in (spec.name, spec.previous)]
    if unfed:
        raise Refused("bad_payload", f"nothing feeds the model's input {unfed[0]!r}: name it as input or as previous")
    batch = fixed_batch(tensor)
    most = max(1, manifest.max_batch) if batch is None else min(manifest.max_batch, batch)
    return msgspec.structs.replace(manifest, input=spec, max_batch=max(1, most))


def fixed_batch(tensor: Tensor) -> int | None:
    """How many pictures every call has; None where that is free."""
    return tensor.shape[0] if tensor.shape else None


def _find(engine: Engine, name: str) -> Tensor:
    found = next((tensor for tensor in engine.inputs if tensor.name == name), None)
    if found is None:
        has = ", ".join(repr(tensor.name) for tensor in engine.inputs)
        raise Refused("bad_payload", f"the model has no input {name!r}; it has {has}")
    return found


def _check(tensor: Tensor, spec: FrameInput) -> None:
    if len(tensor.shape) != 4:
        raise Refused("bad_payload", f"input {tensor} is not (batch, channels, height, width)")
    if tensor.dtype.name not in _DTYPES:
        raise Refused("bad_payload", f"input {tensor}: pictures are given as {', '.join(_DTYPES)}")
    wanted = {"channels": spec.channels, "height": spec.height, "width": spec.width}
    for (what, ours), theirs in zip(wanted.items(), tensor.shape[1:], strict=True):
        if theirs is not None and theirs != ours:
            raise Refused("bad_payload", f"input {tensor} has {what} {theirs}; the manifest says {ours}")
    if tensor.shape[0] == 0:
        raise Refused("bad_payload", f"input {tensor} has room for no picture")


def _check_numbers(spec: FrameInput) -> None:
    for what, side in (("width", spec.width), ("height", spec.height)):
        if not 1 <= side <= _LARGEST:
            raise Refused("bad_payload", f"the input's {what} is from 1 to {_LARGEST}, not {side}")
    for name, values in (("mean", spec.mean), ("std", spec.std)):
        if len(values) not in (1, spec.channels):
            raise Refused("bad_payload", f"the input's {name} has 1 or {spec.channels} numbers, not {len(values)}")
    if 0 in spec.std:
        raise Refused("bad_payload", "the input's std has a 0, by which nothing can be divided")


def _check_twin(tensor: Tensor, previous: Tensor) -> None:
    if tensor.name == previous.name:
        raise Refused("bad_payload", f"input {tensor.name!r} is named for the picture and for the one before it")
    if (tensor.shape[0], tensor.dtype) != (previous.shape[0], previous.dtype):
        raise Refused("bad_payload", f"input {previous} is not like {tensor}, for the picture after it")


def _from_model(tensor: Tensor, metadata: Mapping[str, str], manifest: Manifest) -> FrameInput:
    """An input as the model itself describes it."""
    if len(tensor.shape) != 4:
        raise Refused("bad_payload", f"input {tensor} is not (batch, channels, height, width)")
    height, width = _exported_size(metadata)
    height, width = tensor.shape[2] or height, tensor.shape[3] or width
    if not height or not width:
        raise Refused("bad_payload", f"input {tensor} takes any size: the manifest has to say which, in `input`")
    channels = tensor.shape[1] or 3
    if channels not in (1, 3):
        raise Refused("bad_payload", f"input {tensor} has {channels} channels; pictures have 1 or 3")
    fit: FrameFit = "crop" if manifest.task == "classify" else "letterbox"  # as Ultralytics' own predictors do
    return FrameInput(width=width, height=height, channels=1 if channels == 1 else 3, fit=fit)


def _exported_size(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Height and width of Ultralytics' `imgsz`, `[640, 640]` or `640`; 0, 0 where there is none."""
    try:
        value = ast.literal_eval(metadata.get("imgsz", "0")[:100])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return 0, 0
    sides = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and side >= 0 for side in sides):
        return 0, 0
    return sides[0], sides[1]
