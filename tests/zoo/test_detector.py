import ast
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.models import answers_of, session_of

from datamanager.inference.zoo import zoo_model
from datamanager.simulator.scene import View
from training.boxes import decoded, letterboxed, scored
from training.detector_cases import SIZE, held_out, measured
from training.scenes import Scene, room
from training.sprites import CLASSES

MODEL = zoo_model("detector")
Rows = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def found_by_the_project(scenes: list[Scene], folder: Path) -> list[Rows]:
    """Rows of class, score, x1, y1, x2, y2 in pixels of the pictures."""
    answers = answers_of(MODEL, [scene.pixels for scene in scenes], folder)
    rows = [[(box.class_id, box.score, *box.box) for box in answer.boxes] for answer in answers]
    return [np.array(row, np.float32).reshape(-1, 6) for row in rows]


def test_the_file_says_what_an_exporter_of_yolo_would() -> None:
    model = onnx.load_model_from_string(MODEL.data())
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert ast.literal_eval(said["names"]) == dict(enumerate(CLASSES))
    assert (said["task"], said["stride"], ast.literal_eval(said["imgsz"])) == ("detect", "32", [SIZE, SIZE])
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "output0"]


@pytest.mark.parametrize(("height", "width"), [(320, 320), (640, 640), (256, 416)])
def test_height_and_width_are_free_in_steps_of_its_stride(height: int, width: int) -> None:
    images = np.zeros((2, 3, height, width), np.float32)
    (output,) = session_of(MODEL).run(None, {"images": images})
    anchors = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    assert output.shape == (2, 4 + len(CLASSES), anchors)
    assert ((output[:, 4:] >= 0) & (output[:, 4:] <= 1)).all()
    np.testing.assert_allclose(output[0], output[1], atol=1e-3)


def test_objects_of_held_out_scenes_are_found() -> None:
    found = measured(MODEL.data(), held_out(30, seed=4715))
    assert found["map50"] >= 0.75
    assert found["precision"] >= 0.7
    assert found["recall"] >= 0.72


def test_the_projects_own_way_finds_the_same_boxes(tmp_path: Path) -> None:
    scenes = held_out(8, seed=4716)
    session = session_of(MODEL)
    for scene, rows in zip(scenes, found_by_the_project(scenes, tmp_path), strict=True):
        square, _, x, y = letterboxed(scene.pixels, SIZE)
        wanted = decoded(session.run(None, {"images": square[None]})[0][0], MODEL.manifest.detect.confidence)
        wanted[:, 2:] = np.clip(wanted[:, 2:] - (x, y, x, y), 0, (320, 240, 320, 240))
        assert len(rows) == len(wanted)
        np.testing.assert_allclose(rows[:, 1:], wanted[:, 1:], atol=0.05)
        np.testing.assert_array_equal(rows[:, 0], wanted[:, 0])


def test_pillars_and_ball_are_found_in_what_a_made_robot_sees(tmp_path: Path) -> None:
    scenes = [room(View(-3.0 + at, 0.8, 0.85, 0.7 * at, 1.7 * at), 320, 240) for at in range(7)]
    true = [scene.boxes for scene in scenes]
    assert sum(map(len, true)) >= 15
    scores = scored(found_by_the_project(scenes, tmp_path), true, MODEL.manifest.detect.confidence)
    assert scores.recall >= 0.7
    assert scores.precision >= 0.75
