import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from PIL import Image, ImageFilter
from support.models import session_of

from datamanager.inference.zoo import zoo_model
from datamanager.simulator.pictures import _camera_rays
from datamanager.simulator.scene import View, cast, colours
from training import quality

MODEL = zoo_model("quality")
Luma = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    return session_of(MODEL)


def values_of(session: ort.InferenceSession, frame: Luma, previous: Luma | None = None) -> dict[str, float]:
    """Of one frame, shape (height, width), by name."""
    before = frame if previous is None else previous
    (rows,) = session.run(None, {"frame": frame[None, None], "previous": before[None, None]})
    return dict(zip(MODEL.manifest.options["values"], rows[0].tolist(), strict=True))


def reference(frame: Luma, previous: Luma) -> dict[str, float]:
    """The same by plain numpy, in float64."""
    luma, before = frame.astype(np.float64), previous.astype(np.float64)
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    part = np.bincount(frame.ravel(), minlength=256) / frame.size
    part = part[part > 0]
    rows, columns = frame.shape[0] // 4, frame.shape[1] // 4
    blocks = (luma - before)[: rows * 4, : columns * 4].reshape(rows, 4, columns, 4).mean(axis=(1, 3))
    return {
        "sharpness": float(laplacian.var()),
        "exposure": float(luma.mean() / 255),
        "dark": float((frame <= 8).mean()),
        "bright": float((frame >= 247).mean()),
        "contrast": float(luma.std() / 255),
        "entropy": float(-(part * np.log2(part)).sum()),
        "motion": float(np.abs(blocks).mean() / 255),
    }


def assert_equal(session: ort.InferenceSession, frame: Luma, previous: Luma) -> None:
    assert values_of(session, frame, previous) == pytest.approx(reference(frame, previous), rel=1e-4, abs=1e-5)


def drawn() -> dict[str, Luma]:
    """Pictures of 320 by 240, each with an extreme of its own."""
    y, x = np.mgrid[:240, :320]
    noise = np.random.default_rng(5).integers(0, 256, (240, 320))
    ball = np.where((x - 100) ** 2 + (y - 90) ** 2 < 900, 230, 40)
    pictures = {
        "black": x * 0,
        "white": x * 0 + 255,
        "stripes": x % 2 * 255,
        "ramp": x * 255 // 319,
        "noise": noise,
        "ball": ball,
    }
    return {name: picture.astype(np.uint8) for name, picture in pictures.items()}


@pytest.mark.parametrize("name", sorted(drawn()))
def test_values_of_drawn_pictures_are_those_of_the_formulas(session: ort.InferenceSession, name: str) -> None:
    pictures = drawn()
    assert_equal(session, pictures[name], pictures["ramp"])


@pytest.mark.parametrize("shape", [(480, 640), (241, 323), (4, 4)])
def test_other_sizes_are_taken_too(session: ort.InferenceSession, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    frame, previous = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    assert_equal(session, frame, previous)


def test_frames_of_a_batch_do_not_touch_each_other(session: ort.InferenceSession) -> None:
    frames = np.stack(list(drawn().values()))[:, None]
    previous = frames[::-1].copy()
    (rows,) = session.run(None, {"frame": frames, "previous": previous})
    for row, frame, before in zip(rows, frames, previous, strict=True):
        (alone,) = session.run(None, {"frame": frame[None], "previous": before[None]})
        np.testing.assert_allclose(row, alone[0], rtol=1e-5, atol=1e-6)


def test_extremes_have_the_values_that_they_must_have(session: ort.InferenceSession) -> None:
    pictures = drawn()
    black, white = values_of(session, pictures["black"]), values_of(session, pictures["white"], pictures["black"])
    assert black == dict.fromkeys(quality.VALUES, 0.0) | {"dark": 1.0}
    assert white == pytest.approx(dict.fromkeys(quality.VALUES, 0.0) | {"exposure": 1, "bright": 1, "motion": 1})
    stripes = values_of(session, pictures["stripes"])
    assert (stripes["entropy"], stripes["contrast"]) == pytest.approx((1, 0.5), rel=1e-4)
    assert values_of(session, pictures["noise"])["entropy"] > 7.99


def of_the_recordings(recordings: Path) -> list[Image.Image]:
    paths = sorted((recordings / "image" / "rtabmap").rglob("*.jpg"))[::12]
    paths += sorted((recordings / "rgbd" / "tsdf-fusion-python").rglob("*color.jpg"))[::40]
    assert len(paths) >= 8
    return [Image.open(path).convert("L").resize((320, 240), Image.Resampling.BILINEAR) for path in paths]


def test_values_of_real_frames_are_those_of_the_formulas(session: ort.InferenceSession, recordings: Path) -> None:
    frames = [np.asarray(picture) for picture in of_the_recordings(recordings)]
    for previous, frame in itertools.pairwise(frames):
        assert_equal(session, frame, previous)


def test_blur_lowers_sharpness_of_every_real_frame(session: ort.InferenceSession, recordings: Path) -> None:
    for picture in of_the_recordings(recordings):
        sharp, slight, strong = (
            values_of(session, np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))))["sharpness"]
            for radius in (0, 1, 3)
        )
        assert sharp > 1.5 * slight > 3 * strong


def test_motion_grows_with_what_moved_and_leaves_noise_out(session: ort.InferenceSession) -> None:
    def seen(t_s: float, yaw: float) -> Luma:
        view = View(-3.0, 1.0, 0.85, yaw, t_s)
        rays = _camera_rays(320, 240).turned(yaw)
        return np.asarray(Image.fromarray(colours(view, rays, cast(view, rays))).convert("L"))

    still = seen(1.0, 0.0)
    noise = np.random.default_rng(3).normal(0, 4, still.shape)
    noisy = np.clip(still + noise, 0, 255).astype(np.uint8)
    motion = [values_of(session, frame, still)["motion"] for frame in (still, noisy, seen(1.3, 0.0), seen(1.0, 0.1))]
    assert motion[0] == 0
    assert motion[0] < motion[1] < 0.006
    assert motion[1] < motion[3]
    assert motion[2] > 0


def test_the_graph_is_built_again_byte_for_byte() -> None:
    assert quality.make().data == MODEL.data()
