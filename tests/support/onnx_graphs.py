"""Small ONNX models, made by hand, whose answers are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["constant_model", "save_model", "tensor_of"]

Array = npt.NDArray[Any]
Sides = Sequence[int | str]


def tensor_of(name: str, values: Any, dtype: Any = None) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def save_model(
    path: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[int, Sides]],
    outputs: Mapping[str, tuple[int, Sides]],
    constants: Sequence[Any] = (),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Checks a graph and writes it: opset 17, IR 10.

    Args:
        path: of the file.
        nodes: in their order.
        inputs: by name: element type and shape; a word in it is a side that may be of any size.
        outputs: as inputs.
        constants: initializers.
        metadata: as an exporter leaves them in the file.
    """
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in outputs.items()],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def constant_model(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    size: tuple[int | str, int | str] = (64, 64),
    batch: int | str = "batch",
    channels: int = 3,
    metadata: Mapping[str, str] | None = None,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """A model that says the same of every picture.

    Args:
        path: of the file.
        outputs: by name, of one picture: without the batch's side.
        size: height and width of the input `images`.
        batch: pictures of a call; a word: any.
        channels: of the input.
        metadata: as an exporter leaves them in the file.
        dtype: of the input.
    """
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
    ]
    constants = [tensor_of("zero", [0], np.int64), tensor_of("one", [1], np.int64)]
    declared: dict[str, tuple[int, Sides]] = {}
    for name, values in outputs.items():
        rest = np.asarray(values.shape, np.int64)
        constants += [tensor_of(f"{name}_all", values[None]), tensor_of(f"{name}_rest", rest)]
        nodes += [
            helper.make_node("Concat", ["rows", f"{name}_rest"], [f"{name}_shape"], axis=0),
            helper.make_node("Expand", [f"{name}_all", f"{name}_shape"], [name]),
        ]
        declared[name] = (helper.np_dtype_to_tensor_dtype(values.dtype), [batch, *values.shape])
    inputs: dict[str, tuple[int, Sides]] = {"images": (dtype, [batch, channels, *size])}
    return save_model(path, nodes, inputs, declared, constants, metadata)
