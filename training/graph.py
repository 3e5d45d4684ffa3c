"""ONNX graphs, built node by node: the same calls give the same bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FLOAT", "INT64", "IR_VERSION", "OPSET", "UINT8", "Graph"]

OPSET = 17
IR_VERSION = 8  # what belongs to opset 17; ONNX Runtime 1.20 reads up to 10
FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64

Shape = Sequence[int | str]


class Graph:
    """A graph that grows by its nodes; values are named by the order in which they are made.

    Args:
        name: the graph's.
        half: whether weights are kept as float16, and made float32 when the model is loaded.
    """

    def __init__(self, name: str, *, half: bool = False) -> None:
        self._name = name
        self._half = half
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def input(self, name: str, dtype: int, shape: Shape) -> str:
        """Declares an input; text in its shape names a size that is free."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: int, shape: Shape) -> None:
        """Declares that a value is an output of this name."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """A constant; equal ones are kept once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def weight(self, value: npt.ArrayLike) -> str:
        """A float32 tensor that may be kept as float16."""
        if not self._half:
            return self.constant(value)
        return self.add("Cast", self.constant(value, np.float16), to=FLOAT)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, and its name."""
        return self.add_many(op, *inputs, outputs=1, **attributes)[0]

    def add_many(self, op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs, and their names."""
        node = f"{op}_{len(self._nodes)}"
        names = [f"{node}.{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, list(inputs), names, name=node, **attributes))
        return names

    def integers(self, *values: int) -> str:
        """A vector of int64, as shapes and axes are given."""
        return self.constant(values, np.int64)

    def reshape(self, value: str, *shape: int) -> str:
        """The same numbers in another shape; 0 keeps a size, -1 takes what is left."""
        return self.add("Reshape", value, self.integers(*shape))

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The checked model.

        Args:
            metadata: what the file says of itself, by name.

        Raises:
            onnx.checker.ValidationError: the graph is none.
        """
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "datamanager"
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model
