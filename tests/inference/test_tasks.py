"""What each task makes of a model's outputs, against plain numpy and plain ONNX Runtime."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image
from support.drawn import BLUE, GREEN, RED, drawn, encoded
from support.frames import png
from support.looking import look, manifest
from support.onnx_graphs import colour_detector, constant_model, pooling_model, save_model, tensor_of

from datamanager.errors import Refused
from datamanager.inference.host import FramePicture, infer, load
from datamanager.inference.manifest import DetectOptions, FrameInput, Manifest, Task

Array = npt.NDArray[Any]
PIXEL = 1e-3


def plain(path: Path, tensor: Array) -> list[Array]:
    """What ONNX Runtime says by itself."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: tensor})
    return outputs


def as_tensor(picture: bytes, size: int) -> Array:
    """A square picture of the input's own size, by plain numpy."""
    image = Image.open(io.BytesIO(picture))
    assert image.size == (size, size)
    return (np.asarray(image, np.float32) / 255).transpose(2, 0, 1)[None]


# detect


@pytest.mark.parametrize("with_nms", [False, True], ids=["yolo", "yolo_nms"])
def test_drawn_rectangles_are_found_where_they_were_drawn(tmp_path: Path, with_nms: bool) -> None:
    """Both layouts, as they come from the exporter: no manifest says more than the task."""
    path = colour_detector(tmp_path / "d.onnx", with_nms=with_nms)
    wide = drawn((128, 64), {RED: (10, 20, 50, 40), GREEN: (60, 4, 100, 60)})
    tall = drawn((64, 128), {BLUE: (2, 100, 62, 126)})
    small = drawn((32, 32), {(0, 0, 200): (0, 0, 8, 32)})
    loaded = load(str(path), manifest("detect"), "cpu", 1).manifest
    assert loaded.detect.layout == ("yolo_nms" if with_nms else "yolo")
    assert loaded.classes == ["red", "green", "blue"]
    answers = look(path, manifest("detect"), encoded(wide), encoded(tall), encoded(small))
    assert [(a.width, a.height) for a in answers] == [(128, 64), (64, 128), (32, 32)]
    found = [{box.name: box for box in answer.boxes} for answer in answers]
    assert [set(boxes) for boxes in found] == [{"red", "green"}, {"blue"}, {"blue"}]
    assert found[0]["red"].box == pytest.approx((10, 20, 50, 40), abs=PIXEL)
    assert found[0]["green"].box == pytest.approx((60, 4, 100, 60), abs=PIXEL)
    assert found[1]["blue"].box == pytest.approx((2, 100, 62, 126), abs=PIXEL)
    assert found[2]["blue"].box == pytest.approx((0, 0, 8, 32), abs=1)  # an edge that is blown up is blurred
    assert found[2]["blue"].score == pytest.approx(200 / 255, abs=0.02)
    assert answers[0].values == {"count": 2.0, "counts.red": 1.0, "counts.green": 1.0}


def naive_detections(output: Array, confidence: float, iou: float) -> list[tuple[list[float], float, int]]:
    """Columns of cx cy w h and scores, filtered and suppressed in plain loops."""
    seen = []
    for column in output.T.astype(np.float64):
        number = int(column[4:].argmax())
        if column[4 + number] >= confidence:
            cx, cy, w, h = column[:4]
            seen.append(([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], float(column[4 + number]), number))
    kept: list[tuple[list[float], float, int]] = []
    for box, score, number in sorted(seen, key=lambda entry: -entry[1]):
        if all(other[2] != number or overlap(box, other[0]) <= iou for other in kept):
            kept.append((box, score, number))
    return kept


def overlap(a: list[float], b: list[float]) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return across * down / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across * down)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_many_anchors_come_to_what_plain_loops_make_of_them(tmp_path: Path, dtype: Any) -> None:
    random = np.random.default_rng(3)
    output = np.concatenate(
        [random.uniform(20, 44, (2, 400)), random.uniform(2, 16, (2, 400)), random.random((5, 400)) ** 3]
    )
    output = output.astype(dtype)
    path = constant_model(tmp_path / "d.onnx", {"output0": output})
    answer = look(path, manifest("detect"), png(128, 128), confidence=0.3, iou=0.4)[0]
    reference = naive_detections(output, 0.3, 0.4)
    assert len(reference) > 30
    assert [box.class_id for box in answer.boxes] == [number for _, _, number in reference]
    assert np.allclose([box.score for box in answer.boxes], [score for _, score, _ in reference])
    assert np.allclose([box.box for box in answer.boxes], [np.array(box) * 2 for box, _, _ in reference], atol=PIXEL)


def rows(*boxes: tuple[float, ...]) -> dict[str, Array]:
    return {"output0": np.array(boxes, np.float32)}


def test_rows_after_nms_are_taken_as_they_are_and_empty_ones_left_out(tmp_path: Path) -> None:
    found = rows((0, 0, 10, 10, 0.5, 1), (0, 0, 10, 10, 0.9, 1), (0, 0, 0, 0, 0, 0), (5, 5, np.nan, 9, 0.9, 0))
    path = constant_model(tmp_path / "d.onnx", found)
    answer = look(path, manifest("detect", classes=["a", "b"]), png(64, 64), confidence=0.0)[0]
    assert [(box.score, box.name) for box in answer.boxes] == [(pytest.approx(0.9), "b"), (pytest.approx(0.5), "b")]


def test_boxes_are_cut_off_at_the_picture_and_left_out_beside_it(tmp_path: Path) -> None:
    """The picture takes the rows 16 to 48 of the input."""
    found = rows((-5, 10, 20, 20, 0.9, 0), (10, 2, 20, 12, 0.8, 0), (60, 40, 99, 99, 0.7, 0))
    answer = look(constant_model(tmp_path / "d.onnx", found), manifest("detect"), png(128, 64))[0]
    assert [box.box for box in answer.boxes] == [(0, 0, 40, 8), (120, 48, 128, 64)]


def test_options_of_the_call_go_before_the_manifests(tmp_path: Path) -> None:
    found = rows(*((n, n, n + 8, n + 8, 0.3 + n / 100, n % 2) for n in range(0, 50, 5)))
    path = constant_model(tmp_path / "d.onnx", found)
    of = manifest("detect", classes=["even", "odd"], detect=DetectOptions(confidence=0.5, max_boxes=4))
    assert len(look(path, of, png(64, 64))[0].boxes) == 4
    assert len(look(path, of, png(64, 64), max_boxes=2)[0].boxes) == 2
    assert len(look(path, of, png(64, 64), confidence=0.0, max_boxes=99)[0].boxes) == 10
    assert {box.name for box in look(path, of, png(64, 64), confidence=0.0, classes=["odd"])[0].boxes} == {"odd"}
    assert {box.name for box in look(path, of, png(64, 64), confidence=0.0, classes=[0])[0].boxes} == {"even"}
    assert look(path, of, png(64, 64), classes=[])[0].values == {"count": 0.0}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"confidence": 1.1}, "confidence"),
        ({"confidence": "high"}, "confidence"),
        ({"iou": -0.1}, "iou"),
        ({"iou": float("nan")}, "iou"),
        ({"max_boxes": 0}, "max_boxes"),
        ({"max_boxes": 10_001}, "max_boxes"),
        ({"max_boxes": 2.5}, "max_boxes"),
        ({"classes": "car"}, "classes"),
        ({"classes": ["no such"]}, "no such"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=True)
    with pytest.raises(Refused, match=says):
        look(path, manifest("detect"), png(64, 64), **options)


@pytest.mark.parametrize(
    ("shape", "of", "says"),
    [
        ((7,), manifest("detect"), "output is"),
        ((8400, 84), manifest("detect"), "boxes are taken as"),
        ((84, 8400), manifest("detect", classes=["a", "b"]), "80"),
        ((84, 8400), manifest("detect", detect=DetectOptions(layout="yolo_nms")), "yolo_nms"),
        ((4, 100), manifest("detect", detect=DetectOptions(layout="yolo")), "layout yolo"),
    ],
)
def test_outputs_that_are_no_boxes_are_refused(tmp_path: Path, shape: tuple[int, ...], of: Manifest, says: str) -> None:
    path = constant_model(tmp_path / "d.onnx", {"output0": np.zeros(shape, np.float32)})
    with pytest.raises(Refused, match=says):
        load(str(path), of, "cpu", 1)


# classify and embed


def test_logits_become_the_likeliest_classes(tmp_path: Path) -> None:
    weights = np.random.default_rng(5).normal(0, 4, (3, 12)).astype(np.float32)
    path = pooling_model(tmp_path / "c.onnx", weights)
    picture = png(32, 32)
    of = manifest("classify", classes=[f"c{n}" for n in range(12)], options={"top": 3})
    answer = look(path, of, picture)[0]
    logits = plain(path, as_tensor(picture, 32))[0][0].astype(np.float64)
    chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    best = np.argsort(-chances)[:3]
    assert answer.values["top"] == best[0]
    assert answer.extra["top"] == f"c{best[0]}"
    for number in best:
        assert answer.values[f"scores.c{number}"] == pytest.approx(chances[number], abs=1e-6)
    assert [entry["class_id"] for entry in answer.extra["classes"]] == best.tolist()
    assert len(answer.values) == 4


def test_chances_are_left_as_they_are_unless_the_manifest_calls_them_logits(tmp_path: Path) -> None:
    chances = np.array([0.1, 0.7, 0.2], np.float32)
    path = constant_model(tmp_path / "c.onnx", {"output0": chances})
    assert look(path, manifest("classify"), png(64, 64))[0].values["scores.1"] == pytest.approx(0.7)
    forced = look(path, manifest("classify", options={"softmax": True}), png(64, 64))[0]
    assert forced.values["scores.1"] == pytest.approx(np.exp(0.7) / np.exp(chances).sum(), abs=1e-6)


def test_only_wanted_classes_are_ranked(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "c.onnx", {"output0": np.array([0.1, 0.7, 0.2], np.float32)})
    answer = look(path, manifest("classify", classes=["a", "b", "c"]), png(64, 64), classes=["a", "c"])[0]
    assert list(answer.values) == ["top", "scores.c", "scores.a"]


@pytest.mark.parametrize("half", [False, True])
def test_an_embedding_is_the_output_at_length_one(tmp_path: Path, half: bool) -> None:
    weights = np.random.default_rng(6).normal(0, 1, (3, 64)).astype(np.float32)
    path = pooling_model(tmp_path / "e.onnx", weights, half=half)
    picture = png(32, 32)
    vector = look(path, manifest("embed"), picture)[0].vector
    reference = as_tensor(picture, 32).mean(axis=(2, 3))[0].astype(np.float64) @ weights
    assert vector is not None
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert np.allclose(vector, reference / np.linalg.norm(reference), atol=5e-3 if half else 1e-5)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_what_is_no_direction_is_no_embedding(tmp_path: Path, value: float) -> None:
    path = constant_model(tmp_path / "e.onnx", {"output0": np.full(8, value, np.float32)})
    answer = look(path, manifest("embed"), png(64, 64))[0]
    assert answer.vector is None
    assert "no vector" in str(answer.error)


@pytest.mark.parametrize(("task", "shape"), [("embed", (4, 8)), ("embed", (8193,)), ("classify", (3, 3))])
def test_outputs_of_another_form_are_refused(tmp_path: Path, task: Task, shape: tuple[int, ...]) -> None:
    path = constant_model(tmp_path / "e.onnx", {"output0": np.zeros(shape, np.float32)})
    with pytest.raises(Refused, match="output is"):
        load(str(path), manifest(task), "cpu", 1)


# quality


def quality_model(path: Path, *, together: bool) -> Path:
    """Mean brightness and mean change, as two outputs or as the columns of one."""
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["image"], ["bright"], axes=[1, 2, 3], keepdims=0),
        node("Sub", ["image", "before"], ["change"]),
        node("Abs", ["change"], ["changed"]),
        node("ReduceMean", ["changed"], ["motion"], axes=[1, 2, 3], keepdims=0),
    ]
    outputs: dict[str, tuple[int, list[int | str]]] = {
        "bright": (TensorProto.FLOAT, ["batch"]),
        "motion": (TensorProto.FLOAT, ["batch"]),
    }
    if together:
        nodes += [node("Unsqueeze", [name, "last"], [f"{name}_"]) for name in ("bright", "motion")]
        nodes += [node("Concat", ["bright_", "motion_"], ["all"], axis=1)]
        outputs = {"all": (TensorProto.FLOAT, ["batch", 2])}
    kind: tuple[int, list[int | str]] = (TensorProto.FLOAT, ["batch", 1, 32, 32])
    constants = [tensor_of("last", [1], np.int64)] if together else []
    return save_model(path, nodes, {"image": kind, "before": kind}, outputs, constants)


def grey(level: int) -> bytes:
    return encoded(drawn((32, 32), {(level, level, level): (0, 0, 32, 32)}))


@pytest.mark.parametrize("together", [False, True])
def test_quality_compares_a_frame_with_the_one_before_it(tmp_path: Path, together: bool) -> None:
    spec = FrameInput(width=32, height=32, channels=1, previous="before")
    of = manifest("quality", input=spec, options={"values": ["bright", "motion"]})
    load(str(quality_model(tmp_path / "q.onnx", together=together)), of, "cpu", 1)
    answers = infer(
        [
            FramePicture("a", grey(51)),
            FramePicture("b", grey(102), previous_id="a"),  # in the same call
            FramePicture("c", grey(204), previous_id="x", previous=grey(0)),
            FramePicture("d", grey(102), previous_id="y"),  # not here any more
            FramePicture("e", grey(102), previous_id="z", previous=b"broken"),
        ],
        {},
    )
    assert [answer.values["bright"] for answer in answers] == pytest.approx([0.2, 0.4, 0.8, 0.4, 0.4])
    assert ["motion" in answer.values for answer in answers] == [False, True, True, False, False]
    assert [answers[n].values["motion"] for n in (1, 2)] == pytest.approx([0.2, 0.8])
    later = infer([FramePicture("f", grey(51), previous_id="c"), FramePicture("c", grey(204), previous_id="b")], {})
    assert [answer.values["motion"] for answer in later] == pytest.approx([0.6, 0.4], abs=1e-5)


def test_quality_takes_its_names_from_the_outputs(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "q.onnx", {"sharp": np.float32([3.5]), "entropy": np.float32([np.nan])})
    loaded = load(str(path), manifest("quality"), "cpu", 1)
    assert loaded.manifest.options["values"] == ["sharp", "entropy"]
    assert infer([FramePicture("a", png(64, 64))], {})[0].values == {"sharp": 3.5}


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], "ab", [1, 2], ["a", "a"]])
def test_names_that_do_not_fit_the_output_are_refused(tmp_path: Path, names: object) -> None:
    path = constant_model(tmp_path / "q.onnx", {"all": np.float32([1, 2])})
    with pytest.raises(Refused, match=r"options\.values"):
        load(str(path), manifest("quality", options={"values": names}), "cpu", 1)
