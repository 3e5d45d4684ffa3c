"""A model's process: opening models, and answering for batches."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from support.drawn import RED, drawn, encoded
from support.frames import jpeg, png
from support.onnx_graphs import colour_detector, constant_model, pooling_model, save_model, tensor_of

from datamanager.errors import Refused
from datamanager.inference.host import FramePicture, ModelFailed, infer, load, run_arrays
from datamanager.inference.kept import KeptPictures
from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.inference.placement import place
from datamanager.inference.preprocess import Small

DETECT = Manifest(name="m", version="1", task="detect")
RAW = Manifest(name="m", version="1", task="raw")


def pictures(*data: bytes) -> list[FramePicture]:
    return [FramePicture(f"f{n}", entry) for n, entry in enumerate(data)]


def red(x: int) -> bytes:
    return encoded(drawn((64, 64), {RED: (x, 10, x + 20, 30)}))


# pictures


def test_a_broken_picture_is_answered_for_and_the_others_are_looked_at(tmp_path: Path) -> None:
    load(str(colour_detector(tmp_path / "d.onnx", with_nms=False)), DETECT, "auto", 1)
    answers = infer(pictures(red(4), b"no picture", jpeg(64, 64)[:99], red(20), b""), {})
    assert [answer.error is None for answer in answers] == [True, False, False, True, False]
    assert [answers[n].boxes[0].box[0] for n in (0, 3)] == pytest.approx([4, 20])
    assert "not as JPEG" in str(answers[1].error)
    assert answers[4].error is not None
    assert all(not answers[n].values and not answers[n].boxes for n in (1, 2, 4))


def test_a_batch_of_broken_pictures_is_no_failure(tmp_path: Path) -> None:
    load(str(colour_detector(tmp_path / "d.onnx", with_nms=False)), DETECT, "auto", 1)
    assert [answer.error is None for answer in infer(pictures(b"x", b"y"), {})] == [False, False]
    assert infer([], {}) == []


def small(value: int) -> Small:
    return Small(np.full((1, 2, 3), value, np.uint8), place((2, 1), (2, 1), "stretch").placement)


def test_kept_pictures_are_bounded_and_the_one_not_asked_for_goes_first() -> None:
    kept = KeptPictures((1, 2, 3), 2)
    kept.put("a", small(1))
    kept.put("b", small(2))
    assert kept.get("a") is not None
    kept.put("c", small(3))
    assert [kept.get(name) is not None for name in "abc"] == [True, False, True]
    kept.put("a", small(4))  # in place of the other one
    found = [kept.get(name) for name in "ac"]
    assert [None if one is None else one.pixels.tolist() for one in found] == [[[[n] * 3] * 2] for n in (4, 3)]


def test_a_kept_picture_that_was_got_stays_as_it_is() -> None:
    kept = KeptPictures((1, 2, 3), 1)
    kept.put("a", small(1))
    got = kept.get("a")
    kept.put("b", small(2))
    assert got is not None
    assert (got.pixels == 1).all()
    assert got.placement == small(1).placement


def test_nothing_is_kept_where_there_is_no_room() -> None:
    kept = KeptPictures((1, 2, 3), 0)
    kept.put("a", small(1))
    assert kept.get("a") is None


# batches


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_a_fixed_batch_is_filled_up_and_its_padding_left_out(tmp_path: Path, count: int) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=False, batch=4)
    loaded = load(str(path), DETECT, "auto", 1)
    assert loaded.manifest.max_batch == 4
    answers = infer(pictures(*(red(n) for n in range(count))), {})
    assert [answer.boxes[0].box[0] for answer in answers] == pytest.approx(list(range(count)))


def test_a_batch_of_one_that_is_fixed_is_called_for_each(tmp_path: Path) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=True, batch=1)
    assert load(str(path), DETECT, "auto", 1).manifest.max_batch == 1
    assert [a.boxes[0].box[0] for a in infer(pictures(red(3), red(7)), {})] == pytest.approx([3, 7])


def test_more_frames_than_a_call_may_have_are_several_calls(tmp_path: Path) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=False)
    load(str(path), msgspec.structs.replace(DETECT, max_batch=2), "auto", 2)
    answers = infer(pictures(*(red(n) for n in range(5))), {})
    assert [answer.boxes[0].box[0] for answer in answers] == pytest.approx(list(range(5)))


# models


def test_the_manifest_is_completed_from_the_model(tmp_path: Path) -> None:
    loaded = load(str(colour_detector(tmp_path / "d.onnx", with_nms=False)), DETECT, "auto", 1)
    found = loaded.manifest
    assert found.input == FrameInput(name="images", width=64, height=64)
    assert (found.classes, found.detect.layout) == (["red", "green", "blue"], "yolo")
    assert loaded.providers[-1] == "CPUExecutionProvider"
    assert loaded.warm_up_s > 0


def test_a_completed_manifest_loads_again(tmp_path: Path) -> None:
    path = str(colour_detector(tmp_path / "d.onnx", with_nms=True))
    once = load(path, DETECT, "auto", 1).manifest
    assert load(path, once, "auto", 1).manifest == once


def test_a_model_of_any_size_takes_the_one_it_was_exported_with(tmp_path: Path) -> None:
    outputs = {"output0": np.zeros((5, 40), np.float32)}
    path = constant_model(tmp_path / "d.onnx", outputs, size=("height", "width"), metadata={"imgsz": "[48, 96]"})
    spec = load(str(path), DETECT, "auto", 1).manifest.input
    assert spec is not None
    assert (spec.width, spec.height) == (96, 48)
    given = msgspec.structs.replace(DETECT, input=FrameInput(width=32, height=64))
    spec = load(str(path), given, "auto", 1).manifest.input
    assert spec is not None
    assert (spec.width, spec.height) == (32, 64)


@pytest.mark.parametrize("imgsz", ["", "640", "[640]", "[0, 0]", "{}", "[-1, 5]", "open('x')", "(" * 90])
def test_sizes_in_metadata_are_only_taken_when_they_are_some(tmp_path: Path, imgsz: str) -> None:
    outputs = {"output0": np.zeros((5, 40), np.float32)}
    path = constant_model(tmp_path / "d.onnx", outputs, size=("h", "w"), metadata={"imgsz": imgsz})
    if imgsz == "640":
        spec = load(str(path), DETECT, "auto", 1).manifest.input
        assert spec is not None
        assert (spec.width, spec.height) == (640, 640)
        return
    with pytest.raises(Refused, match="takes any size"):
        load(str(path), DETECT, "auto", 1)


@pytest.mark.parametrize("names", ["", "{", "7", "[1, 2", "{'a': 'b'}", "{-1: 'x', 1000000000: 'y'}", "((" * 5000])
def test_names_in_metadata_are_only_taken_when_they_are_some(tmp_path: Path, names: str) -> None:
    outputs = {"output0": np.zeros((6, 40), np.float32)}
    path = constant_model(tmp_path / "d.onnx", outputs, metadata={"names": names})
    assert load(str(path), DETECT, "auto", 1).manifest.classes == ["0", "1"]


def test_a_quantised_model_comes_close_to_the_one_it_was_made_from(tmp_path: Path) -> None:
    weights = np.random.default_rng(2).normal(size=(3, 32)).astype(np.float32)
    full, quantised = pooling_model(tmp_path / "f.onnx", weights), tmp_path / "q.onnx"
    quantize_dynamic(full, quantised, weight_type=QuantType.QUInt8)
    of = Manifest(name="m", version="1", task="embed")
    vectors = []
    for path in (full, quantised):
        load(str(path), of, "auto", 1)
        vectors.append(infer(pictures(png(32, 32)), {})[0].vector)
    assert not np.array_equal(*vectors)
    assert float(np.dot(*vectors)) > 0.999


def test_a_model_may_take_bytes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=0),
    ]
    path = save_model(
        tmp_path / "u.onnx",
        nodes,
        {"images": (TensorProto.UINT8, ["batch", 3, 16, 16])},
        {"mean": (TensorProto.FLOAT, ["batch"])},
    )
    loaded = load(str(path), RAW, "auto", 1)
    assert loaded.manifest.input is not None
    assert loaded.manifest.input.dtype == "uint8"
    level = encoded(drawn((16, 16), {(9, 9, 9): (0, 0, 16, 16)}))
    assert infer(pictures(level), {})[0].values == {"mean": 9.0}


@pytest.mark.parametrize(
    "data", [b"", b"not a model", bytes(100), b"\x08\x0a" * 500], ids=["empty", "text", "zeros", "noise"]
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(Refused, match="cannot be opened") as refused:
        load(str(path), RAW, "auto", 1)
    assert str(tmp_path) not in refused.value.detail


def test_a_model_cut_short_is_refused(tmp_path: Path) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Refused, match="cannot be opened"):
        load(str(path), DETECT, "auto", 1)
    with pytest.raises(Refused, match="cannot be opened"):
        load(str(tmp_path / "none.onnx"), DETECT, "auto", 1)


@pytest.mark.parametrize(("exported", "is_taken"), [("detect", True), ("", True), ("mine", True), ("pose", False)])
def test_a_model_is_not_taken_for_what_it_was_not_exported_for(tmp_path: Path, exported: str, is_taken: bool) -> None:
    """A pose model's output looks like that of a detector of 52 classes."""
    outputs = {"output0": np.zeros((56, 100), np.float32)}
    path = constant_model(tmp_path / "p.onnx", outputs, metadata={"task": exported, "names": "{0: 'person'}"})
    if is_taken:
        load(str(path), DETECT, "auto", 1)
        return
    with pytest.raises(Refused, match="exported for the task pose"):
        load(str(path), DETECT, "auto", 1)
    load(str(path), RAW, "auto", 1)


SPEC = FrameInput(width=64, height=64)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (msgspec.structs.replace(SPEC, width=32), "'images'.*width 64; the manifest says 32"),
        (msgspec.structs.replace(SPEC, height=640), "'images'.*height 64; the manifest says 640"),
        (msgspec.structs.replace(SPEC, channels=1), "'images'.*channels 3; the manifest says 1"),
        (msgspec.structs.replace(SPEC, name="image"), "no input 'image'; it has 'images'"),
        (msgspec.structs.replace(SPEC, previous="before"), "no input 'before'"),
        (msgspec.structs.replace(SPEC, previous="images"), "'images' is named for"),
        (msgspec.structs.replace(SPEC, mean=(0.1, 0.2)), "mean has 1 or 3 numbers"),
        (msgspec.structs.replace(SPEC, std=(1.0, 0.0, 1.0)), "std has a 0"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_the_inputs_name(
    tmp_path: Path, spec: FrameInput, says: str
) -> None:
    path = colour_detector(tmp_path / "d.onnx", with_nms=False)
    with pytest.raises(Refused, match=says):
        load(str(path), msgspec.structs.replace(DETECT, input=spec), "auto", 1)


@pytest.mark.parametrize(("side", "is_taken"), [(1, True), (8192, True), (8193, False), (0, False)])
def test_sides_of_an_input_have_bounds(tmp_path: Path, side: int, is_taken: bool) -> None:
    path = pooling_model(tmp_path / "m.onnx", np.eye(3, dtype=np.float32), size=("h", "w"))
    of = msgspec.structs.replace(RAW, input=FrameInput(width=side, height=1), max_batch=1)
    if is_taken:
        load(str(path), of, "auto", 1)
        return
    with pytest.raises(Refused, match="width is from 1 to 8192"):
        load(str(path), of, "auto", 1)


def echo(path: Path, kind: int, *shape: int | str) -> Path:
    """A model that gives back what it gets."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return save_model(path, nodes, {"x": (kind, shape)}, {"y": (kind, shape)})


@pytest.mark.parametrize(
    ("kind", "shape", "says"),
    [
        (TensorProto.FLOAT, ("batch", 5), r"'x' \(any x 5, float32\) is not \(batch, channels, height, width\)"),
        (TensorProto.FLOAT, ("batch", 8, 8, 3), "'x'.*has 8 channels"),
        (TensorProto.INT64, ("batch", 3, 8, 8), "'x'.*float32, float16, uint8"),
        (TensorProto.STRING, ("batch", 3, 8, 8), r"'x' is a tensor\(string\)"),
    ],
)
def test_a_model_that_takes_no_pictures_is_refused(
    tmp_path: Path, kind: int, shape: tuple[int | str, ...], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        load(str(echo(tmp_path / "e.onnx", kind, *shape)), RAW, "auto", 1)


def test_an_input_that_nobody_feeds_is_refused(tmp_path: Path) -> None:
    kind = (TensorProto.FLOAT, ["batch", 3, 8, 8])
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    path = save_model(tmp_path / "a.onnx", nodes, {"a": kind, "b": kind}, {"y": kind})
    with pytest.raises(Refused, match="nothing feeds the model's input 'b'"):
        load(str(path), RAW, "auto", 1)


def test_an_output_without_a_row_for_each_picture_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 1, 2, 3], keepdims=0)]
    path = save_model(
        tmp_path / "s.onnx", nodes, {"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])}, {"y": (TensorProto.FLOAT, [])}
    )
    with pytest.raises(Refused, match="output 'y' is"):
        load(str(path), RAW, "auto", 1)


def test_a_model_that_cannot_be_loaded_leaves_the_one_before_it(tmp_path: Path) -> None:
    load(str(colour_detector(tmp_path / "d.onnx", with_nms=False)), DETECT, "auto", 1)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(Refused):
        load(str(tmp_path / "bad.onnx"), DETECT, "auto", 1)
    assert infer(pictures(red(4)), {})[0].boxes


def test_a_call_that_fails_fails_whole(tmp_path: Path) -> None:
    """The graph reads beyond a table for bright pictures, and only for them."""
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Cast", ["most"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["value"]),
    ]
    path = save_model(
        tmp_path / "g.onnx",
        nodes,
        {"images": (TensorProto.FLOAT, ["batch", 3, 64, 64])},
        {"value": (TensorProto.FLOAT, ["batch"])},
        [tensor_of("table", [0.5], np.float32)],
    )
    load(str(path), RAW, "auto", 1)
    dark = encoded(drawn((64, 64), {}))
    assert infer(pictures(dark), {})[0].values == {"value": 0.5}
    with pytest.raises(ModelFailed) as failed:
        infer(pictures(dark, red(4)), {})
    assert failed.value.trouble == "other"
    assert "Gather" in failed.value.detail
    assert infer(pictures(dark), {})[0].values == {"value": 0.5}


def test_nothing_is_looked_at_without_a_model() -> None:
    with pytest.raises(Refused, match="no model"):
        infer(pictures(red(4)), {})
    with pytest.raises(Refused, match="no model"):
        run_arrays({})


# telemetry

ANOMALY = Manifest(name="m", version="1", task="anomaly")


def test_a_model_of_telemetry_gets_arrays(tmp_path: Path) -> None:
    loaded = load(str(echo(tmp_path / "e.onnx", TensorProto.FLOAT, "batch", 5)), ANOMALY, "auto", 1)
    assert loaded.manifest == ANOMALY
    window = np.arange(10, dtype=np.float64).reshape(2, 5)
    found = run_arrays({"x": window})["y"]
    assert found.dtype == np.float32
    assert np.array_equal(found, window)
    with pytest.raises(Refused, match="no model that looks at frames"):
        infer(pictures(red(4)), {})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "inputs are"),
        ({"z": np.zeros((1, 5))}, "inputs are"),
        ({"x": np.zeros((1, 4))}, r"'x' .* got an array of shape \(1, 4\)"),
        ({"x": np.zeros(5)}, r"'x' .* got an array of shape \(5,\)"),
        ({"x": np.array([["a"] * 5])}, "'x' .* cannot be made"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path: Path, inputs: dict[str, Any], says: str) -> None:
    load(str(echo(tmp_path / "e.onnx", TensorProto.FLOAT, "batch", 5)), ANOMALY, "auto", 1)
    with pytest.raises(Refused, match=says):
        run_arrays(inputs)
