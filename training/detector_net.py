"""The detector's network, written once, for PyTorch to train and for ONNX to keep.

A small fully convolutional one: a backbone of residual blocks, a top-down path (Lin et al., "Feature Pyramid Networks",
2017), and at strides 8, 16 and 32 one box a cell without anchors, decoded as in YOLOX (Ge et al., 2021). Its output has
the layout that Ultralytics' exporter gives: (batch, 4 + classes, boxes), cx cy w h in pixels of the input, scores 0 to 1.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from training.graph import FLOAT, Graph

__all__ = ["CLASSES", "MAX_LOG", "STRIDES", "Net", "exported"]

from training.sprites import CLASSES

STRIDES = (8, 16, 32)
MAX_LOG = 5.0  # no box is longer than exp(5) strides
_ROWS = 4 + len(CLASSES)
_NECK = 48
_SCORE_BIAS = -4.0  # few cells have an object: begun there, the first steps are not spent on learning it


class _Ops(Protocol):
    """What the network is made of; a value is a tensor, or the name of one."""

    def conv(self, name: str, value: Any, shape: tuple[int, int, int], stride: int = 1, *, linear: bool = False) -> Any:
        """A convolution of (inputs, outputs, kernel size), batch-normalised and rectified unless it is `linear`."""

    def add(self, a: Any, b: Any) -> Any:
        """The sum."""

    def twice(self, value: Any) -> Any:
        """Twice as high and wide."""


def _network(ops: _Ops, images: Any) -> list[Any]:
    """One value a stride, of shape (batch, 4 + classes, height / stride, width / stride)."""
    value = ops.conv("stem", images, (3, 12, 3), 2)
    value = _stage(ops, "a", value, 12, 24)
    fine = _stage(ops, "b", value, 24, 48)
    middle = _stage(ops, "c", fine, 48, 64)
    coarse = _stage(ops, "d", middle, 64, 80)
    neck = [ops.conv("coarse", coarse, (80, _NECK, 1))]
    neck.append(ops.add(ops.conv("middle", middle, (64, _NECK, 1)), ops.twice(neck[-1])))
    neck.append(ops.add(ops.conv("fine", fine, (48, _NECK, 1)), ops.twice(neck[-1])))
    outs = []
    for stride, value in zip(STRIDES, reversed(neck), strict=True):
        towered = ops.conv("tower", value, (_NECK, _NECK, 3))
        outs.append(ops.conv(f"out{stride}", towered, (_NECK, _ROWS, 1), linear=True))
    return outs


def _stage(ops: _Ops, name: str, value: Any, inputs: int, outputs: int) -> Any:
    """Half as high and wide, and a residual block."""
    value = ops.conv(f"{name}.down", value, (inputs, outputs, 3), 2)
    inner = ops.conv(f"{name}.first", value, (outputs, outputs, 3))
    return ops.add(value, ops.conv(f"{name}.second", inner, (outputs, outputs, 3)))


class Net:
    """The network in PyTorch.

    Attributes:
        layers: by name; made at the first call, in its order.
    """

    def __init__(self) -> None:
        self.layers: Any = nn.ModuleDict()
        with torch.no_grad():
            self(torch.zeros(1, 3, 64, 64))

    def __call__(self, images: Any) -> list[Any]:
        """From (batch, 3, height, width), 0 to 1, to one tensor a stride."""
        return _network(self, images)

    def conv(self, name: str, value: Any, shape: tuple[int, int, int], stride: int = 1, *, linear: bool = False) -> Any:
        """See `_Ops`."""
        key = name.replace(".", "_")
        if key not in self.layers:
            self.layers[key] = _layer(shape, stride, linear=linear)
        return self.layers[key](value)

    def add(self, a: Any, b: Any) -> Any:
        """See `_Ops`."""
        return a + b

    def twice(self, value: Any) -> Any:
        """See `_Ops`."""
        return nn.functional.interpolate(value, scale_factor=2, mode="nearest")


def _layer(shape: tuple[int, int, int], stride: int, *, linear: bool) -> Any:
    inputs, outputs, size = shape
    if linear:
        layer = nn.Conv2d(inputs, outputs, size)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
        nn.init.constant_(layer.bias[4:], _SCORE_BIAS)
        return layer
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class _GraphOps:
    """The network in ONNX, with the weights of a trained one; batch normalisation goes into them."""

    def __init__(self, graph: Graph, net: Net) -> None:
        self._graph = graph
        self._layers = net.layers
        self._kept: dict[str, tuple[str, str]] = {}

    def conv(self, name: str, value: str, shape: tuple[int, int, int], stride: int = 1, *, linear: bool = False) -> str:
        if name not in self._kept:
            weight, bias = _folded(self._layers[name.replace(".", "_")], linear=linear)
            self._kept[name] = (self._graph.weight(weight), self._graph.constant(bias))
        pad = shape[2] // 2
        sizes = {"kernel_shape": [shape[2]] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        out = self._graph.add("Conv", value, *self._kept[name], **sizes)
        return out if linear else self._graph.add("Relu", out)

    def add(self, a: str, b: str) -> str:
        return self._graph.add("Add", a, b)

    def twice(self, value: str) -> str:
        scales = self._graph.constant([1, 1, 2, 2])
        return self._graph.add(
            "Resize",
            value,
            "",
            scales,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )


def _folded(layer: Any, *, linear: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weight and bias of a convolution that does what the layer does."""
    if linear:
        return layer.weight.detach().numpy(), layer.bias.detach().numpy()
    conv, norm, _ = layer
    gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.detach().double() * gain[:, None, None, None]
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    return weight.float().numpy(), bias.float().numpy()


def exported(net: Net, size: int) -> onnx.ModelProto:
    """The trained network as a model with the input `images` and the output `output0`; height and width are free."""
    graph = Graph("detector", half=True)
    images = graph.input("images", FLOAT, ("batch", 3, "height", "width"))
    levels = _network(_GraphOps(graph, net), images)
    rows = [_decoded(graph, level, stride) for level, stride in zip(levels, STRIDES, strict=True)]
    graph.output("output0", graph.add("Concat", *rows, axis=2), FLOAT, ("batch", _ROWS, "anchors"))
    return graph.model(
        {
            "description": "datamanager detector of drawn objects",
            "task": "detect",
            "stride": str(max(STRIDES)),
            "batch": "1",
            "imgsz": str([size, size]),
            "names": str(dict(enumerate(CLASSES))),
        }
    )


def _decoded(graph: Graph, level: str, stride: int) -> str:
    """(batch, 4 + classes, cells)."""
    parts: Sequence[str] = graph.add_many("Split", level, graph.integers(2, 2, _ROWS - 4), outputs=3, axis=1)
    moved, logs, scores = parts
    middles = graph.add("Mul", graph.add("Add", moved, _cells(graph, level)), graph.constant(float(stride)))
    capped = graph.add("Min", logs, graph.constant(MAX_LOG))
    sides = graph.add("Mul", graph.add("Exp", capped), graph.constant(float(stride)))
    whole = graph.add("Concat", middles, sides, graph.add("Sigmoid", scores), axis=1)
    return graph.reshape(whole, 0, _ROWS, -1)


def _cells(graph: Graph, level: str) -> str:
    """The middles of cells, in cells: (1, 2, height, width), x before y."""
    shape = graph.add("Shape", level)
    height, width = (graph.add("Gather", shape, graph.constant(axis, np.int64)) for axis in (2, 3))
    planes = []
    for size, around in ((width, (1, 1, 1, -1)), (height, (1, 1, -1, 1))):
        along = graph.add("Range", graph.constant(0, np.int64), size, graph.constant(1, np.int64))
        middle = graph.add("Add", graph.add("Cast", along, to=FLOAT), graph.constant(0.5))
        planes.append(graph.reshape(middle, *around))
    one = graph.integers(1)
    full = graph.add("Concat", one, one, graph.reshape(height, 1), graph.reshape(width, 1), axis=0)
    return graph.add("Concat", *(graph.add("Expand", plane, full) for plane in planes), axis=1)
