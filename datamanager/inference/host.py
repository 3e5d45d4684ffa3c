"""What a model's child process does: it holds the model, and answers for batches of frames.

A model has a process of its own, which a crash, a hang or an out-of-memory takes along and nothing else. These functions
are called in it by `ProcessPool.run`; the worker imports this module for its types, and no ONNX Runtime with it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamanager.errors import Refused
from datamanager.inference.answers import (
    Box,
    Device,
    FrameAnswer,
    FramePicture,
    Loaded,
    ModelFailed,
    Trouble,
)
from datamanager.inference.engine import Array, Engine, Tensor, open_engine
from datamanager.inference.heap import keep_freed_memory
from datamanager.inference.manifest import Manifest
from datamanager.inference.model import FrameModel
from datamanager.inference.tasks import TASKS

__all__ = [
    "Box",
    "Device",
    "FrameAnswer",
    "FramePicture",
    "Loaded",
    "ModelFailed",
    "Trouble",
    "infer",
    "load",
    "run_arrays",
]

_GPU_DECODERS = 8  # pictures decoded at once, so that a GPU does not wait for one core


@dataclass(slots=True)
class _Held:
    """This process's model."""

    engine: Engine | None = None
    frames: FrameModel | None = None


_held = _Held()


def load(path: str, manifest: Manifest, device: str, threads: int) -> Loaded:
    """Opens a model, completes its manifest from the model's own metadata, and warms it up.

    It becomes this process's model, in place of any before it; when opening fails, the one before it stays.

    Args:
        path: the model file.
        manifest: as stored.
        device: `auto`, `cuda` or `cpu`; what really loaded is in the answer.
        threads: that the model computes with on the CPU, and that pictures are decoded by.

    Raises:
        Refused: `bad_payload`: this is no ONNX model, or the manifest does not fit it; the detail names the input.
        ModelFailed: it does not fit into memory, or its first calls fail.
        DatamanagerError: ONNX Runtime is not installed.
    """
    keep_freed_memory()
    engine = open_engine(path, device, threads, manifest.options)
    if manifest.task not in TASKS:
        _held.engine, _held.frames = engine, None
        return Loaded(manifest, engine.providers, 0.0)
    is_cpu = engine.providers[0] == "CPUExecutionProvider"
    decoders = threads if is_cpu else max(threads, min(_GPU_DECODERS, os.cpu_count() or 1))
    frames = FrameModel(engine, manifest, decoders)
    _held.engine, _held.frames = engine, frames
    return frames.loaded


def infer(frames: Sequence[FramePicture], options: Mapping[str, Any]) -> list[FrameAnswer]:
    """What this process's model says of each frame, in their order.

    A picture that is broken gets an answer with `error`; the others are answered for all the same. A frame without a
    `previous` (or with a broken one) is compared with itself, and the values that compare (`options.compared` of the
    manifest, `motion` where it is silent) are left out of its answer.

    Args:
        frames: more than the model's `max_batch` are looked at in several calls.
        options: of the enrichment: `confidence`, `iou`, `max_boxes`, `classes` go before the manifest's.

    Raises:
        Refused: an option is wrong, or the model does not look at frames.
        ModelFailed: the call failed; the whole batch did.
    """
    if _held.frames is None:
        raise Refused("bad_payload", "no model that looks at frames is open here")
    return _held.frames.infer(frames, options)


def run_arrays(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of this process's model by name, for a model of telemetry.

    Args:
        inputs: every input by name; converted to the dtypes that the model has.

    Raises:
        Refused: `bad_payload`: the inputs are not the model's; the detail names which.
        ModelFailed: the call failed.
    """
    engine = _held.engine
    if engine is None:
        raise Refused("bad_payload", "no model is open here")
    wanted = {tensor.name: tensor for tensor in engine.inputs}
    if set(inputs) != set(wanted):
        raise Refused("bad_payload", f"the model's inputs are {sorted(wanted)}, not {sorted(inputs)}")
    return engine.run({name: _fitting(tensor, inputs[name]) for name, tensor in wanted.items()})


def _fitting(tensor: Tensor, given: Array) -> Array:
    try:
        array = np.asarray(given, tensor.dtype)
    except (TypeError, ValueError) as exc:
        raise Refused("bad_payload", f"input {tensor} cannot be made of what was given: {exc}") from exc
    if array.ndim != len(tensor.shape) or any(
        side not in (None, had) for side, had in zip(tensor.shape, array.shape, strict=True)
    ):
        raise Refused("bad_payload", f"input {tensor} got an array of shape {array.shape}")
    return array
