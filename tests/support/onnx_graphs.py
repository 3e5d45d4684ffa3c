"""Small ONNX models, made by hand, whose answers are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["colour_detector", "constant_model", "pooling_model", "save_model", "tensor_of", "tiling_model"]

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


def colour_detector(path: Path, *, with_nms: bool, size: int = 64, batch: int | str = "batch") -> Path:
    """A detector that really looks: the box around all that is red, all that is green, all that is blue.

    Its score is how bright the brightest such pixel is. It has the metadata of an Ultralytics export.

    Args:
        path: of the file.
        with_nms: rows of x1 y1 x2 y2 score class, else columns of cx cy w h and three scores.
        size: of its square input.
        batch: pictures of a call; a word: any.
    """
    node = helper.make_node
    nodes = [
        node("Greater", ["images", "half"], ["is"]),
        node("ReduceMax", ["images"], ["best"], axes=[2, 3], keepdims=0),
    ]
    for axis, ramp in (("x", "ramp_x"), ("y", "ramp_y")):
        nodes += [
            node("Where", ["is", ramp, "far"], [f"low_{axis}"]),
            node("ReduceMin", [f"low_{axis}"], [f"{axis}1"], axes=[2, 3], keepdims=0),
            node("Where", ["is", f"{ramp}_end", "none"], [f"high_{axis}"]),
            node("ReduceMax", [f"high_{axis}"], [f"{axis}2"], axes=[2, 3], keepdims=0),
        ]
    if with_nms:
        nodes += [node("Mul", ["best", "zero"], ["no"]), node("Add", ["no", "numbers"], ["class"])]
        parts = ["x1", "y1", "x2", "y2", "best", "class"]
        nodes += [node("Unsqueeze", [part, "last"], [f"{part}_"]) for part in parts]
        nodes += [node("Concat", [f"{part}_" for part in parts], ["output0"], axis=2)]
        shape: Sides = [batch, 3, 6]
    else:
        for axis in "xy":
            nodes += [
                node("Add", [f"{axis}1", f"{axis}2"], [f"sum_{axis}"]),
                node("Mul", [f"sum_{axis}", "half"], [f"c{axis}"]),
                node("Sub", [f"{axis}2", f"{axis}1"], [f"side_{axis}"]),
            ]
        parts = ["cx", "cy", "side_x", "side_y"]
        nodes += [node("Unsqueeze", [part, "middle"], [f"{part}_"]) for part in [*parts, "best"]]
        nodes += [node("Mul", ["best_", "diagonal"], ["scores"])]
        nodes += [node("Concat", [*(f"{part}_" for part in parts), "scores"], ["output0"], axis=1)]
        shape = [batch, 7, 3]
    ramp = np.arange(size, dtype=np.float32)
    constants = [
        tensor_of("half", 0.5, np.float32),
        tensor_of("far", 1e4, np.float32),
        tensor_of("none", -1e4, np.float32),
        tensor_of("zero", 0, np.float32),
        tensor_of("ramp_x", ramp[None, None, None, :]),
        tensor_of("ramp_x_end", ramp[None, None, None, :] + 1),
        tensor_of("ramp_y", ramp[None, None, :, None]),
        tensor_of("ramp_y_end", ramp[None, None, :, None] + 1),
        tensor_of("numbers", [[0, 1, 2]], np.float32),
        tensor_of("diagonal", np.eye(3, dtype=np.float32)[None]),
        tensor_of("last", [2], np.int64),
        tensor_of("middle", [1], np.int64),
    ]
    metadata = {
        "description": "a detector of colours",
        "task": "detect",
        "stride": "32",
        "batch": "1",
        "imgsz": f"[{size}, {size}]",
        "names": "{0: 'red', 1: 'green', 2: 'blue'}",
    }
    used = {name for entry in nodes for name in entry.input}
    return save_model(
        path,
        nodes,
        {"images": (TensorProto.FLOAT, [batch, 3, size, size])},
        {"output0": (TensorProto.FLOAT, shape)},
        [constant for constant in constants if constant.name in used],
        metadata,
    )


def pooling_model(
    path: Path,
    weights: Array,
    *,
    size: tuple[int | str, int | str] = (32, 32),
    batch: int | str = "batch",
    half: bool = False,
) -> Path:
    """The mean of each channel times `weights`, shape (3, n): an embedding, or logits of classes.

    Args:
        path: of the file.
        weights: what the means are multiplied by.
        size: height and width of the input.
        batch: pictures of a call; a word: any.
        half: in float16.
    """
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], ["output0"]),
    ]
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return save_model(
        path,
        nodes,
        {"images": (kind, [batch, 3, *size])},
        {"output0": (kind, [batch, weights.shape[1]])},
        [tensor_of("weights", weights, np.float16 if half else np.float32)],
    )


def tiling_model(path: Path, times: int, *, size: int = 64) -> Path:
    """The mean of a picture laid side by side `times` by `times`: as much memory as is asked for."""
    nodes = [
        helper.make_node("Tile", ["images", "times"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["output"], axes=[1, 2, 3], keepdims=0),
    ]
    return save_model(
        path,
        nodes,
        {"images": (TensorProto.FLOAT, ["batch", 3, size, size])},
        {"output": (TensorProto.FLOAT, ["batch"])},
        [tensor_of("times", [1, 1, times, times], np.int64)],
    )
