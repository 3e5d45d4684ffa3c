"""`python -m training.quality`: the graph that says how good a frame is. Nothing in it is learned.

Inputs, both (batch, 1, height, width), uint8 luma: `frame`, and `previous`, the one before it in its stream. Output
`values`, (batch, 7), float32, by the names in the manifest's `options["values"]`:

- `sharpness`: variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000), in
  squared levels of 0..255, by the kernel 0 1 0 / 1 -4 1 / 0 1 0 wherever it fits whole.
- `exposure`: mean luma, 0 to 1.
- `dark`, `bright`: the part of pixels that are at most 8, and at least 247.
- `contrast`: standard deviation of luma, 0 to 0.5.
- `entropy`: Shannon's, of the histogram of all 256 levels, 0 to 8 bits.
- `motion`: mean absolute difference to `previous`, both averaged over blocks of 4 by 4, 0 to 1; 0 when both are one.

Height and width are free; the manifest takes 320 by 240, so that values of different cameras can be compared.
"""

import time

import numpy as np

from datamanager.inference.manifest import FrameInput, Manifest
from training.graph import FLOAT, INT64, UINT8, Graph
from training.ship import Made, ship

__all__ = ["VALUES", "make"]

VALUES = ("sharpness", "exposure", "dark", "bright", "contrast", "entropy", "motion")
WIDTH, HEIGHT = 320, 240
DARK, BRIGHT, LEVELS = 8, 247, 256
_LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_BLOCK = 4


def make() -> Made:
    """The model and its manifest."""
    graph = Graph("quality")
    shape = ("batch", 1, "height", "width")
    raw = graph.input("frame", UINT8, shape)
    luma = graph.add("Cast", raw, to=FLOAT)
    before = graph.add("Cast", graph.input("previous", UINT8, shape), to=FLOAT)
    level = graph.constant(255.0)
    values = [
        _variance(graph, graph.add("Conv", luma, graph.constant(_LAPLACIAN[None, None]))),
        graph.add("Div", _mean(graph, luma), level),
        _part(graph, graph.add("LessOrEqual", luma, graph.constant(float(DARK)))),
        _part(graph, graph.add("GreaterOrEqual", luma, graph.constant(float(BRIGHT)))),
        graph.add("Div", graph.add("Sqrt", _variance(graph, luma)), level),
        _entropy(graph, raw),
        graph.add("Div", _motion(graph, luma, before), level),
    ]
    rows = [graph.reshape(value, -1, 1) for value in values]
    graph.output("values", graph.add("Concat", *rows, axis=1), FLOAT, ("batch", len(VALUES)))
    manifest = Manifest(
        name="quality",
        version="1",
        task="quality",
        input=FrameInput(
            name="frame",
            width=WIDTH,
            height=HEIGHT,
            channels=1,
            fit="stretch",
            dtype="uint8",
            scale=1.0,
            previous="previous",
        ),
        max_batch=32,
        about="Sharpness, exposure, contrast, entropy and motion of frames",
        options={"values": list(VALUES)},
    )
    return Made(graph.model({"task": "quality", "values": ",".join(VALUES)}), manifest)


def _mean(graph: Graph, value: str) -> str:
    return graph.add("ReduceMean", value, axes=[1, 2, 3], keepdims=1)


def _variance(graph: Graph, value: str) -> str:
    """About the mean, in two steps: the difference of two large squares would lose what float32 has."""
    away = graph.add("Sub", value, _mean(graph, value))
    return _mean(graph, graph.add("Mul", away, away))


def _part(graph: Graph, truth: str) -> str:
    return _mean(graph, graph.add("Cast", truth, to=FLOAT))


def _motion(graph: Graph, luma: str, before: str) -> str:
    """The mean over blocks takes most of the camera's noise away."""
    blocks = {"kernel_shape": [_BLOCK, _BLOCK], "strides": [_BLOCK, _BLOCK]}
    change = graph.add("Sub", graph.add("AveragePool", luma, **blocks), graph.add("AveragePool", before, **blocks))
    return _mean(graph, graph.add("Abs", change))


def _entropy(graph: Graph, raw: str) -> str:
    """One is added to a level's count for each pixel that has it."""
    levels = graph.add("Flatten", graph.add("Cast", raw, to=INT64), axis=1)
    shape = graph.add("Shape", levels)
    batch = graph.add("Slice", shape, graph.integers(0), graph.integers(1))
    empty = graph.add("Expand", graph.constant(0.0), graph.add("Concat", batch, graph.integers(LEVELS), axis=0))
    ones = graph.add("Expand", graph.constant(1.0), shape)
    counts = graph.add("ScatterElements", empty, levels, ones, axis=1, reduction="add")
    pixels = graph.add("Cast", graph.add("Slice", shape, graph.integers(1), graph.integers(2)), to=FLOAT)
    part = graph.add("Div", counts, pixels)
    # A level that no pixel has adds 0 * log(1).
    some = graph.add("Where", graph.add("Greater", part, graph.constant(0.0)), part, graph.constant(1.0))
    nats = graph.add("ReduceSum", graph.add("Mul", part, graph.add("Log", some)), graph.integers(1), keepdims=0)
    return graph.add("Mul", nats, graph.constant(-1 / np.log(2)))


if __name__ == "__main__":
    ship(make(), "training.quality", time.perf_counter())
