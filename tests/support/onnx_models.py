"""Real ONNX models, made by the onnx library: a picture's mean, and the like."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from datamanager.storage.models import NewModel

__all__ = ["new_model", "tiny_model"]


def tiny_model(seed: int = 0, *, padding: int = 0) -> bytes:
    """Y = x * weights, of float32[4]; another model for each seed.

    Args:
        seed: makes the weights.
        padding: bytes of a comment in it.
    """
    weights = np.random.default_rng(seed).random(4, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if padding:
        model.doc_string = "x" * padding
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def new_model(name: str, version: str, data: bytes, **more: object) -> NewModel:
    """What is declared of a model."""
    fields = {
        "name": name,
        "version": version,
        "task": "raw",
        "output": "raw",
        "about": "",
        "manifest": b'{"task":"raw"}',
        "checksum": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
    }
    return NewModel(**(fields | more))  # type: ignore[arg-type]  # of a test's own
