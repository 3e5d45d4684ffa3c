"""Masks, maps, and outputs as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.frames import png
from support.looking import look, manifest
from support.onnx_graphs import constant_model

Array = npt.NDArray[Any]


def unrolled(mask: dict[str, Any]) -> Array:
    values = np.repeat(np.arange(len(mask["runs"])) % 2, mask["runs"])
    return values.reshape(mask["size"]).astype(bool)


def object_outputs(layout: str) -> dict[str, Array]:
    """Two objects of a picture in the rows 16 to 48 of a 64 x 64 input; prototypes say left half, and upper half."""
    prototypes = np.full((2, 16, 16), -1, np.float32)
    prototypes[0, :, :8] = 1
    prototypes[1, :8] = 1
    if layout == "yolo_nms":
        boxes = np.array([[0, 16, 64, 48, 0.9, 1, 1, 0], [16, 24, 64, 48, 0.8, 0, 0, 1]], np.float32)
        return {"output0": boxes, "output1": prototypes}
    columns = np.zeros((4 + 2 + 2, 20), np.float32)
    columns[:, 3] = [32, 32, 64, 32, 0.1, 0.9, 1, 0]
    columns[:, 7] = [40, 36, 48, 24, 0.8, 0.1, 0, 1]
    return {"output0": columns, "output1": prototypes}


@pytest.mark.parametrize("layout", ["yolo", "yolo_nms"])
def test_masks_of_objects_cover_what_their_prototypes_say_within_the_box(tmp_path: Path, layout: str) -> None:
    metadata = {"names": "{0: 'cup', 1: 'box'}", "task": "segment", "imgsz": "[64, 64]"}
    path = constant_model(tmp_path / "s.onnx", object_outputs(layout), metadata=metadata)
    answer = look(path, manifest("segment", options={"mask_size": 64}), png(128, 64))[0]
    assert [(box.name, box.box) for box in answer.boxes] == [("box", (0, 0, 128, 64)), ("cup", (32, 16, 128, 64))]
    left, upper = (unrolled(mask) for mask in answer.extra["masks"])
    assert left.shape == upper.shape == (32, 64)
    expected_left = np.zeros((32, 64), bool)
    expected_left[:, :32] = True
    expected_upper = np.zeros((32, 64), bool)
    expected_upper[8:16, 16:] = True
    assert (left == expected_left).all()
    assert (upper == expected_upper).all()
    assert answer.values == {"count": 2.0, "counts.box": 1.0, "counts.cup": 1.0}


def test_more_objects_than_prototypes_come_to_the_same_masks(tmp_path: Path) -> None:
    outputs = object_outputs("yolo_nms")
    outputs["output0"] = np.concatenate([outputs["output0"], outputs["output0"] * [1, 1, 1, 1, 0.5, 1, 1, 1]]).astype(
        np.float32
    )
    path = constant_model(tmp_path / "s.onnx", outputs)
    masks = look(path, manifest("segment"), png(128, 64))[0].extra["masks"]
    assert masks[0] == masks[2]
    assert masks[1] == masks[3]
    assert masks[0] != masks[1]


def test_no_objects_have_no_masks(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "s.onnx", object_outputs("yolo"))
    assert look(path, manifest("segment"), png(64, 64), confidence=0.95)[0].extra == {"masks": []}


@pytest.mark.parametrize("form", ["scores", "numbers", "numbers_of_one_channel"])
def test_a_map_gives_every_place_its_class(tmp_path: Path, form: str) -> None:
    numbers = np.zeros((16, 16), np.int64)
    numbers[:, 8:] = 2
    numbers[8:] = 1
    scores = (np.arange(3)[:, None, None] == numbers).astype(np.float32)
    outputs = {"scores": scores, "numbers": numbers, "numbers_of_one_channel": numbers[None]}
    path = constant_model(tmp_path / "s.onnx", {"map": outputs[form]})
    answer = look(path, manifest("segment", classes=["floor", "wall", "sky"]), png(128, 64))[0]
    # Beside the corner where all three meet, a class may win that is nearest to none of its cells.
    assert answer.values == pytest.approx({"area.floor": 0.25, "area.wall": 0.5, "area.sky": 0.25}, abs=1e-3)
    found = answer.extra["map"]
    assert found["size"] == [64, 128]
    cells = np.repeat(*np.array(found["runs"]).T).reshape(found["size"])
    assert (cells[:31, :63] == 0).all()
    assert (cells[:31, 65:] == 2).all()
    assert (cells[33:] == 1).all()


@pytest.mark.parametrize(("threshold", "part"), [(0.5, 0.5), (0.95, 0.0)])
def test_a_map_of_one_class_is_held_against_a_threshold(tmp_path: Path, threshold: float, part: float) -> None:
    chances = np.full((1, 16, 16), 0.1, np.float32)
    chances[:, :, 8:] = 0.9
    path = constant_model(tmp_path / "s.onnx", {"map": chances})
    answer = look(path, manifest("segment", classes=["no", "yes"], options={"threshold": threshold}), png(64, 64))[0]
    assert answer.values.get("area.yes", 0.0) == pytest.approx(part)


def test_small_outputs_are_given_whole_and_large_ones_in_short(tmp_path: Path) -> None:
    outputs = {
        "small": np.float32([[1, 2], [3, np.nan]]),
        "large": np.arange(2000, dtype=np.float32),
        "single": np.float32([7.5]),
        "whole": np.arange(3, dtype=np.int64),
    }
    answer = look(constant_model(tmp_path / "r.onnx", outputs), manifest("raw"), png(64, 64))[0]
    found = answer.extra["outputs"]
    assert answer.values == {"single": 7.5}
    assert found["small"] == {"shape": [2, 2], "dtype": "float32", "data": [[1.0, 2.0], [3.0, None]]}
    assert found["whole"]["data"] == [0, 1, 2]
    assert (found["large"]["min"], found["large"]["max"], found["large"]["mean"]) == (0, 1999, 999.5)
    assert found["large"]["first"] == list(range(16))
    assert "data" not in found["large"]


@pytest.mark.parametrize(("size", "is_whole"), [(9, True), (10, True), (11, False)])
def test_how_large_a_whole_output_is_can_be_said(tmp_path: Path, size: int, is_whole: bool) -> None:
    path = constant_model(tmp_path / "r.onnx", {"o": np.zeros(size, np.float32)})
    answer = look(path, manifest("raw", options={"whole": 10}), png(64, 64))[0]
    assert ("data" in answer.extra["outputs"]["o"]) is is_whole
