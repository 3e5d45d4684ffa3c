"""Models that go wrong, as real ONNX files: one that fails, one that hangs, one that wants more memory than there is."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from datamanager.inference.manifest import FrameInput, Manifest

__all__ = ["bad_model"]

_SIDE = 64
_HOURS = 10**12  # rounds of a loop, or values of a tensor: more than anybody waits for or has


def bad_model(name: str) -> tuple[Manifest, bytes]:
    """The model `failing`, `hanging` or `out_of_memory`, and its manifest.

    Each takes a picture, and its first call goes as all others do.
    """
    data = {"failing": _failing, "hanging": _hanging, "out_of_memory": _out_of_memory}[name]().SerializeToString()
    manifest = Manifest(
        name=name,
        version="1",
        task="raw",
        input=FrameInput(name="frame", width=_SIDE, height=_SIDE, channels=1, fit="stretch"),
        max_batch=1,
        timeout_s=1.0,
        checksum=hashlib.sha256(data).hexdigest(),
        about="goes wrong",
    )
    return manifest, data


def _failing() -> onnx.ModelProto:
    """Takes a value from beyond the picture's last one, once the picture is anything but black."""
    nodes = [
        helper.make_node("ReduceMax", ["frame"], ["most"], keepdims=0),
        helper.make_node("Ceil", ["most"], ["one"]),
        helper.make_node("Cast", ["one"], ["beyond"], to=TensorProto.INT64),
        helper.make_node("Add", ["beyond", "last"], ["at"]),
        helper.make_node("Reshape", ["frame", "flat"], ["values"]),
        helper.make_node("Gather", ["values", "at"], ["out"], axis=1),
    ]
    constants = [_int64("last", [_SIDE * _SIDE - 1]), _int64("flat", [1, _SIDE * _SIDE])]
    return _model(nodes, constants, [1, 1])


def _hanging() -> onnx.ModelProto:
    """Adds one to a number, very often, once the picture is anything but black."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["total", "total"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["frame"], ["most"], keepdims=0),
        helper.make_node("Ceil", ["most"], ["one"]),
        helper.make_node("Cast", ["one"], ["flag"], to=TensorProto.INT64),
        helper.make_node("Mul", ["flag", "rounds"], ["count"]),
        helper.make_node("Cast", ["one"], ["go_first"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["count", "go_first", "most"], ["last"], body=body),
        helper.make_node("Unsqueeze", ["last", "zero"], ["out"]),
    ]
    return _model(nodes, [_int64("rounds", _HOURS), _int64("zero", [0])], [1])


def _out_of_memory() -> onnx.ModelProto:
    """Makes a tensor of terabytes, once the picture is anything but black."""
    nodes = [
        helper.make_node("ReduceMax", ["frame"], ["most"], keepdims=0),
        helper.make_node("Ceil", ["most"], ["one"]),
        helper.make_node("Cast", ["one"], ["flag"], to=TensorProto.INT64),
        helper.make_node("Mul", ["flag", "values"], ["count"]),
        helper.make_node("Unsqueeze", ["count", "zero"], ["length"]),
        helper.make_node("Concat", ["one_row", "length"], ["shape"], axis=0),
        helper.make_node("Expand", ["most", "shape"], ["out"]),
    ]
    return _model(nodes, [_int64("values", _HOURS), _int64("zero", [0]), _int64("one_row", [1])], [1, "n"])


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], out: list[int | str]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 1, _SIDE, _SIDE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, out)],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _int64(name: str, value: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64), name)
