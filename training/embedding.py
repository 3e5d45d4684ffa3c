"""`python -m training.embedding`: what a frame looks like, in 64 numbers.

Features that are written down (where which colours and edges are), then one projection that is learned in closed form:
linear discriminant analysis (Fisher, 1936; Rao, 1948), where each made picture is a class of its own, of which crops,
light, blur, noise and compression are the members. What those change counts little, what tells pictures apart counts
much. Input `images`, (batch, 3, 128, 128), RGB, 0 to 1; output `embedding`, (batch, 64), of length 1.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from PIL import Image

from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.simulator.recordings import find_recordings, read_recordings
from training.graph import FLOAT, Graph
from training.scenes import Pixels, background, made_scene, weather
from training.ship import Made, ship

__all__ = ["Views", "duplicates", "embedded", "made_views", "measured", "recalls", "recorded_views", "thumbnails"]

SEED = 40
SIZE, DIMENSIONS = 128, 64
NEAR = 0.94  # cosine
_EVAL_SEED = 9200
_CLASSES, _MEMBERS = 800, 6
_ORIENTATIONS, _CELLS = 8, 8
_SHRINKAGE = 0.1
_FALSE_DUPLICATES = 0.001
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def main() -> None:
    """Learns the projection, measures and ships."""
    began_s = time.perf_counter()
    mean, projection = _learned(np.random.default_rng(SEED))
    model = _model(mean, projection)
    sets = {"made": made_views(300)}
    if folder := find_recordings(wanted=True):
        sets["recorded"] = recorded_views(folder)
    manifest = Manifest(
        name="embedding",
        version="1",
        task="embed",
        input=FrameInput(name="images", width=SIZE, height=SIZE, fit="stretch"),
        max_batch=32,
        about="What a frame looks like: where which colours and edges are; for frames like this one and near-duplicates",
        options={"dimensions": DIMENSIONS, "near_duplicate": NEAR},
    )
    ship(Made(model, manifest, SEED, measured(model.SerializeToString(), NEAR, sets)), "training.embedding", began_s)


def _model(mean: Doubles, projection: Doubles) -> onnx.ModelProto:
    graph = Graph("embedding")
    images = graph.input("images", FLOAT, ("batch", 3, SIZE, SIZE))
    away = graph.add("Sub", _features(graph, images), graph.constant(mean))
    flat = graph.add("MatMul", away, graph.constant(projection))
    graph.output("embedding", _unit(graph, flat), FLOAT, ("batch", DIMENSIONS))
    return graph.model({"task": "embed", "dimensions": str(DIMENSIONS)})


def _feature_model() -> onnx.ModelProto:
    graph = Graph("features")
    images = graph.input("images", FLOAT, ("batch", 3, SIZE, SIZE))
    graph.output("features", _features(graph, images), FLOAT, ("batch", "features"))
    return graph.model({})


def _features(graph: Graph, images: str) -> str:
    """Layout of light and colour, edges by place and direction, and colours wherever they are."""
    ycc = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    luma, chroma = graph.add_many(
        "Split",
        graph.add("Conv", images, graph.constant(ycc[:, :, None, None])),
        graph.integers(1, 2),
        outputs=2,
        axis=1,
    )
    light = _standardised(graph, luma)
    parts = [
        _pooled(graph, light, 8),
        graph.add("Mul", _pooled(graph, chroma, 4), graph.constant(8.0)),
        _edges(graph, light),
        _colours(graph, chroma, light),
    ]
    return graph.add("Concat", *parts, axis=1)


def _standardised(graph: Graph, luma: str) -> str:
    """Less its mean, over its deviation: another exposure is no other picture."""

    def mean(value: str) -> str:
        return graph.add("ReduceMean", value, axes=[1, 2, 3], keepdims=1)

    away = graph.add("Sub", luma, mean(luma))
    spread = graph.add("Sqrt", mean(graph.add("Mul", away, away)))
    return graph.add("Div", away, graph.add("Add", spread, graph.constant(0.02)))


def _pooled(graph: Graph, value: str, cells: int) -> str:
    """Means over `cells` by `cells` places that overlap by half, flat."""
    step = SIZE // cells
    pooled = graph.add(
        "AveragePool",
        value,
        kernel_shape=[2 * step] * 2,
        strides=[step] * 2,
        pads=[step // 2] * 4,
        count_include_pad=0,
    )
    return graph.add("Flatten", pooled, axis=1)


def _edges(graph: Graph, light: str) -> str:
    """How much of an edge lies in each of 8 directions, by place (after Dalal and Triggs, 2005), soft in both."""
    slopes = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 8
    angles = np.arange(_ORIENTATIONS) * np.pi / _ORIENTATIONS
    kernels = np.stack([np.cos(a) * slopes.T + np.sin(a) * slopes for a in angles])[:, None]
    along = graph.add("Conv", light, graph.constant(kernels), pads=[1, 1, 1, 1])
    power = graph.add("Mul", along, along)
    sharp = graph.add("Mul", power, power)
    whole = graph.add("ReduceMean", power, axes=[1], keepdims=1)
    directed = graph.add("Div", sharp, graph.add("Add", whole, graph.constant(1e-3)))  # of the size of `power`
    step = SIZE // _CELLS
    cells = graph.add(
        "AveragePool",
        graph.add("Sqrt", graph.add("Add", directed, graph.constant(1e-8))),
        kernel_shape=[2 * step] * 2,
        strides=[step] * 2,
        pads=[step // 2] * 4,
        count_include_pad=0,
    )
    total = graph.add("ReduceMean", cells, axes=[1], keepdims=1)
    shares = graph.add("Div", cells, graph.add("Add", total, graph.constant(0.05)))
    flat = [graph.add("Flatten", graph.add("Sqrt", shares), axis=1)]
    flat.append(graph.add("Flatten", graph.add("Log", graph.add("Add", total, graph.constant(0.01))), axis=1))
    return graph.add("Concat", *flat, axis=1)


def _colours(graph: Graph, chroma: str, light: str) -> str:
    """How much of the picture, and of its quarters, has about which colour and light: soft histograms."""
    centres = np.array([[a, b] for a in np.linspace(-0.24, 0.24, 5) for b in np.linspace(-0.24, 0.24, 5)])
    small = {"kernel_shape": [4, 4], "strides": [4, 4]}
    chroma, light = graph.add("AveragePool", chroma, **small), graph.add("AveragePool", light, **small)
    blue, red = graph.add_many("Split", chroma, graph.integers(1, 1), outputs=2, axis=1)
    near = [
        _bump(graph, [(blue, centres[:, 0], 0.08), (red, centres[:, 1], 0.08)]),
        _bump(graph, [(light, np.linspace(-1.5, 1.5, 5), 0.5)]),
    ]
    near[1] = graph.add("Div", near[1], graph.add("ReduceSum", near[1], graph.integers(1), keepdims=1))
    parts = []
    for value in near:
        for size in (SIZE // 4, SIZE // 8):
            pooled = graph.add("AveragePool", value, kernel_shape=[size] * 2, strides=[size] * 2)
            root = graph.add("Sqrt", graph.add("Add", pooled, graph.constant(1e-4)))
            parts.append(graph.add("Flatten", root, axis=1))
    return graph.add("Concat", *parts, axis=1)


def _bump(graph: Graph, axes: Sequence[tuple[str, Doubles, float]]) -> str:
    """How near each pixel is to each centre: a bell about it, in as many channels as there are centres."""
    total = ""
    for value, centres, width in axes:
        away = graph.add("Sub", value, graph.constant(centres[None, :, None, None]))
        square = graph.add("Mul", graph.add("Mul", away, away), graph.constant(-0.5 / width**2))
        total = graph.add("Add", total, square) if total else square
    return graph.add("Exp", total)


def _unit(graph: Graph, value: str) -> str:
    square = graph.add("ReduceSum", graph.add("Mul", value, value), graph.integers(1), keepdims=1)
    return graph.add("Div", value, graph.add("Sqrt", graph.add("Add", square, graph.constant(1e-12))))


def _learned(rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """The mean of the features, and their projection to 64 numbers."""
    model = _feature_model().SerializeToString()
    rows = []
    for _ in range(_CLASSES):
        picture = _made(rng)
        rows.append(embedded(model, [_sized(picture), *(_sized(altered(rng, picture)) for _ in range(_MEMBERS))]))
    classes = np.stack(rows).astype(np.float64)
    means = classes.mean(axis=1)
    within = (classes - means[:, None]).reshape(-1, classes.shape[2])
    scatter = within.T @ within / len(within)
    count = len(scatter)
    scatter = (1 - _SHRINKAGE) * scatter + _SHRINKAGE * np.trace(scatter) / count * np.eye(count)
    values, vectors = np.linalg.eigh(scatter)
    whiten = vectors / np.sqrt(values)
    mean = means.mean(axis=0)
    spread = (means - mean) @ whiten
    values, turn = np.linalg.eigh(spread.T @ spread / len(spread))
    best = np.argsort(-values)[:DIMENSIONS]
    projection = whiten @ turn[:, best]
    # A vector and its opposite are as good: the sign is fixed, so that it does not hang on the machine.
    return mean, projection * np.sign(projection[np.abs(projection).argmax(axis=0), np.arange(DIMENSIONS)])


def _made(rng: np.random.Generator) -> Pixels:
    kind = rng.random()
    if kind < 0.5:
        return _leaves(rng)
    return made_scene(rng, 160, 120).pixels if kind < 0.9 else background(rng, 160, 120)


def _leaves(rng: np.random.Generator, width: int = 160, height: int = 120) -> Pixels:
    """Leaves upon leaves of all sizes, whose statistics are near those of photographs (Lee, Mumford and Huang, 2001)."""
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((width, height)))
    pixels = pixels.astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    palette = rng.uniform(0, 255, (6, 3)) * (0.3 + 0.7 * rng.random())
    for _ in range(int(rng.integers(15, 70))):
        radius = min(5 / np.sqrt(rng.uniform(0.001, 1)), 90)
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.2, 1)
        dx, dy = x - rng.uniform(0, width), y - rng.uniform(0, height)
        u, v = np.cos(turn) * dx + np.sin(turn) * dy, (np.cos(turn) * dy - np.sin(turn) * dx) / flat
        inside = np.maximum(abs(u), abs(v)) < radius if rng.random() < 0.5 else u * u + v * v < radius * radius
        colour = palette[int(rng.integers(6))] + rng.normal(0, 25, 3)
        pixels[inside] = colour + rng.normal(0, 0.4) * u[inside, None] + rng.normal(0, 4)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def altered(rng: np.random.Generator, pixels: Pixels, strength: float = 1.0) -> Pixels:
    """The same picture cut, turned a little, and in other weather; at strength 1 up to 15 % of each side are cut."""
    height, width = pixels.shape[:2]
    sides = 1 - strength * rng.uniform(0, 0.15, 2)
    x, y = rng.uniform(0, 1, 2) * (1 - sides) * (width, height)
    turn = np.radians(strength * rng.normal(0, 1.5))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = (sides[0] * cos, -sides[1] * sin, x, sides[0] * sin, sides[1] * cos, y)
    cut = Image.fromarray(pixels).transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return weather(rng, np.asarray(cut))


def _sized(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def embedded(model: bytes, pictures: Sequence[Pixels]) -> Floats:
    """The first output of a model file for pictures of its size, one row each."""
    session = _session(model)
    rows = []
    for first in range(0, len(pictures), 16):
        batch = np.stack(pictures[first : first + 16]).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        rows.append(session.run(None, {"images": batch})[0])
    return np.concatenate(rows)


_sessions: dict[bytes, ort.InferenceSession] = {}


def _session(data: bytes) -> ort.InferenceSession:
    if data not in _sessions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        _sessions[data] = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return _sessions[data]


def thumbnails(pictures: Sequence[Pixels]) -> Floats:
    """What needs no model: 8 by 8 grey, less its mean, of length 1."""
    rows = [
        np.asarray(Image.fromarray(p).convert("L").resize((8, 8), Image.Resampling.BOX), np.float32) for p in pictures
    ]
    flat = np.stack(rows).reshape(len(rows), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9), np.float32)


@dataclass(frozen=True, slots=True)
class Views:
    """Pictures that no training saw, of the model's size.

    Attributes:
        pictures: all as they are, then all altered strongly, then all altered slightly.
        different: which of them are surely not alike, (count, count): frames of a slow camera may well be.
    """

    pictures: list[Pixels]
    different: npt.NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many there are, altered ones left out."""
        return len(self.different)


def views_of(rng: np.random.Generator, groups: Sequence[tuple[Sequence[Pixels], int]]) -> Views:
    """Views of groups of pictures, each with how far apart two of it must be to be different."""
    pictures = [picture for group, _ in groups for picture in group]
    group_of = np.repeat(np.arange(len(groups)), [len(group) for group, _ in groups])
    apart = np.array([apart for _, apart in groups])[group_of]
    at = np.arange(len(pictures))
    different = (group_of[:, None] != group_of) | (np.abs(at[:, None] - at) >= apart[:, None])
    altered_ones = [[_sized(altered(rng, p, strength)) for p in pictures] for strength in (1.0, 0.25)]
    return Views([_sized(p) for p in pictures] + altered_ones[0] + altered_ones[1], different)


def made_views(count: int, seed: int = _EVAL_SEED) -> Views:
    """Of made scenes."""
    rng = np.random.default_rng(seed)
    return views_of(rng, [([made_scene(rng).pixels for _ in range(count)], 1)])


def recorded_views(folder: Path, seed: int = _EVAL_SEED, sparse: int = 1) -> Views:
    """Of the real recordings: a mobile robot's frames a second apart, and a hand-held camera's every 133 ms.

    Args:
        folder: of the recordings.
        seed: of what they are altered by.
        sparse: one in so many is taken.
    """
    frames = read_recordings(folder).frames
    groups = []
    for name, step, apart in (("rear_rgb", 1, 1), ("front_rgb", 4, 15)):
        files = frames[name].files[:: step * sparse]
        groups.append(
            ([np.asarray(Image.open(f).convert("RGB").resize((320, 240))) for f in files], -(-apart // sparse))
        )
    return views_of(np.random.default_rng(seed), groups)


def recalls(vectors: Floats, views: Views) -> dict[str, float]:
    """How often the picture itself is the nearest, or among the nearest five, of its strongly altered one."""
    count = views.count
    alike = vectors[count : 2 * count] @ vectors[:count].T
    place = (alike > np.diagonal(alike)[:, None]).sum(axis=1)
    return {"recall_at_1": round(float((place < 1).mean()), 3), "recall_at_5": round(float((place < 5).mean()), 3)}


def duplicates(vectors: Floats, views: Views, near: float | None = None) -> dict[str, float]:
    """How well a cosine tells slightly altered pictures from different ones.

    Args:
        vectors: of the views, of length 1.
        views: what they are of.
        near: from which cosine on two are taken for one; None: what one of a thousand pairs of different ones reaches.

    Returns:
        `near`; `found` and `false`, the parts of slightly altered ones and of different pairs that reach it; `auc`, the
        area below the receiver's curve.
    """
    count = views.count
    alike = vectors[2 * count :] @ vectors[:count].T
    same, other = np.diagonal(alike), np.sort(alike[views.different])
    near = float(np.quantile(other, 1 - _FALSE_DUPLICATES)) if near is None else near
    return {
        "near": round(near, 3),
        "found": round(float((same >= near).mean()), 3),
        "false": round(float((other >= near).mean()), 5),
        "auc": round(float((np.searchsorted(other, same) / len(other)).mean()), 4),
    }


def measured(model: bytes, near: float, sets: Mapping[str, Views]) -> dict[str, Any]:
    """On each set, beside grey thumbnails with the threshold that suits them there."""
    result: dict[str, Any] = {}
    for name, views in sets.items():
        own, plain = embedded(model, views.pictures), thumbnails(views.pictures)
        pictures = {"pictures": views.count}
        result[name] = pictures | recalls(own, views) | duplicates(own, views, near)
        result[f"{name}, 8x8 grey"] = pictures | recalls(plain, views) | duplicates(plain, views)
    print(*result.items(), sep="\n")
    return result


if __name__ == "__main__":
    main()
