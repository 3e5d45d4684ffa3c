"""Pictures become a model's input, and boxes find their way back."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.drawn import BLUE, GREEN, RED, drawn, encoded
from support.frames import jpeg, png
from support.image_samples import depth_values, make_samples

from datamanager.errors import Refused
from datamanager.inference.manifest import FrameFit, FrameInput
from datamanager.inference.placement import place
from datamanager.inference.preprocess import FILL, fill_tensor, shrink

SIDES = st.integers(1, 5000)


@given(
    size=st.tuples(SIDES, SIDES),
    target=st.tuples(st.integers(1, 1280), st.integers(1, 1280)),
    fit=st.sampled_from(["letterbox", "stretch", "crop"]),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_comes_back_to_where_it_was(
    size: tuple[int, int], target: tuple[int, int], fit: FrameFit, corners: tuple[float, ...]
) -> None:
    at = place(size, target, fit).placement
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    box = np.array([[x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]]])
    inside = box * ((at.scale_x, at.scale_y) * 2) + (at.left, at.top) * 2
    assert np.allclose(at.to_picture(inside), box, rtol=1e-9, atol=1e-6)


@given(size=st.tuples(SIDES, SIDES), target=st.tuples(st.integers(1, 1280), st.integers(1, 1280)))
def test_a_letterboxed_picture_touches_two_sides_and_keeps_its_proportions(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    fitted = place(size, target, "letterbox")
    assert fitted.size[0] == target[0] or fitted.size[1] == target[1]
    assert all(0 < had <= room for had, room in zip(fitted.size, target, strict=True))
    factor = min(target[0] / size[0], target[1] / size[1])
    assert all(abs(had - side * factor) <= 1 for had, side in zip(fitted.size, size, strict=True))
    for start, had, room in zip(fitted.at, fitted.size, target, strict=True):
        assert 0 <= start <= room - had
        assert room - had - start - start in (0, 1)  # an odd pixel goes behind


@given(size=st.tuples(SIDES, SIDES), target=st.tuples(st.integers(1, 1280), st.integers(1, 1280)))
def test_a_crop_is_filled_by_the_middle_of_the_picture(size: tuple[int, int], target: tuple[int, int]) -> None:
    at = place(size, target, "crop").placement
    whole = at.to_picture(np.array([[0.0, 0.0, *target]]))[0]
    assert np.isclose(whole[0], size[0] - whole[2], atol=1e-6)
    assert np.isclose(whole[1], size[1] - whole[3], atol=1e-6)
    assert np.isclose(whole[2] - whole[0], size[0]) or np.isclose(whole[3] - whole[1], size[1])


def naive_letterbox(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    factor = size / max(image.size)
    small = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (size, size), (FILL,) * 3)
    canvas.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return np.asarray(canvas)


def test_a_letterbox_is_what_pillow_makes_step_by_step() -> None:
    picture = Image.open(io.BytesIO(png(300, 200)))
    small = shrink(encoded(picture), FrameInput(width=96, height=96))
    assert np.abs(small.pixels.astype(int) - naive_letterbox(picture, 96)).max() <= 1


@pytest.mark.parametrize("size", [(1280, 720), (1279, 717), (641, 1000), (640, 480), (100, 50)])
@pytest.mark.parametrize("fit", ["letterbox", "stretch", "crop"])
def test_a_jpeg_decoded_small_is_like_one_decoded_whole(size: tuple[int, int], fit: FrameFit) -> None:
    data, spec = jpeg(*size), FrameInput(width=160, height=120, fit=fit)
    small = shrink(data, spec)
    whole = shrink(encoded(Image.open(io.BytesIO(data)), compress_level=1), spec)
    assert small.placement == whole.placement
    difference = np.abs(small.pixels.astype(int) - whole.pixels)
    assert difference.mean() < 2
    assert np.percentile(difference, 99) < 20  # beside hard edges, which each way blurs differently


def test_a_draft_does_not_move_the_picture() -> None:
    """With a side that no power of two divides, the last pixel of a draft is a picture's only in part."""
    edge = 8 * 71
    image = drawn((8 * 100 + 3, 8 * 60 + 5), {RED: (edge, 0, 8 * 100 + 3, 8 * 60 + 5)})
    spec = FrameInput(width=100, height=60, fit="stretch")
    small = shrink(encoded(image, "JPEG", quality=95, subsampling=0), spec)
    row = small.pixels[30, :, 0] / small.pixels[30].max()
    assert abs((100 - row.sum()) - edge * 100 / image.width) < 0.1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_turned_picture_is_looked_at_upright(turn: int, form: str) -> None:
    upright = drawn((320, 160), {RED: (0, 0, 80, 160), GREEN: (240, 0, 320, 160), BLUE: (80, 120, 240, 160)})
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that makes the stored picture
    stored = upright.transpose(Image.Transpose(undo[turn])) if turn in undo else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    small = shrink(encoded(stored, form, exif=exif.tobytes()), FrameInput(width=64, height=64))
    assert (small.placement.width, small.placement.height) == (320, 160)
    left, right, below, beside = (small.pixels[y, x].astype(int) for x, y in ((8, 32), (56, 32), (32, 46), (32, 8)))
    for pixel, colour in ((left, RED), (right, GREEN), (below, BLUE), (beside, (FILL,) * 3)):
        assert np.abs(pixel - colour).max() < 16


def test_what_is_transparent_becomes_grey() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 255, 0, 255), (0, 0, 32, 64))
    pixels = shrink(encoded(image), FrameInput(width=64, height=64)).pixels
    assert tuple(pixels[10, 10]) == GREEN
    assert tuple(pixels[10, 60]) == (FILL,) * 3


def test_a_depth_picture_is_stretched_from_dark_to_bright() -> None:
    data = encoded(Image.fromarray(depth_values()))
    pixels = shrink(data, FrameInput(width=96, height=64, channels=1)).pixels
    assert pixels.shape == (64, 96, 1)
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_grey_is_luma_and_colour_of_grey_is_grey() -> None:
    image = drawn((64, 64), {RED: (0, 0, 64, 64)})
    grey = shrink(encoded(image), FrameInput(width=64, height=64, channels=1)).pixels
    assert (grey == 76).all()  # 0.299 of 255
    colour = shrink(encoded(Image.new("L", (64, 64), 76)), FrameInput(width=64, height=64)).pixels
    assert (colour == 76).all()


def test_every_picture_of_the_golden_samples_can_be_looked_at() -> None:
    looked_at = 0
    for name, data in make_samples().items():
        if name.endswith((".ply", ".pcd", ".drc")):
            with pytest.raises(Refused, match="point cloud"):
                shrink(data, FrameInput(width=32, height=32))
            continue
        assert shrink(data, FrameInput(width=32, height=32)).pixels.shape == (32, 32, 3), name
        looked_at += 1
    assert looked_at > 10


@pytest.mark.parametrize(
    "data", [b"", b"nope", jpeg(64, 64)[:200], png(64, 64)[:-40]], ids=["empty", "text", "jpeg", "png"]
)
def test_broken_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        shrink(data, FrameInput(width=32, height=32))


def test_a_line_of_pixels_is_cropped_without_being_blown_up() -> None:
    """To fill the input from one row it would have to be as long as the picture times the input."""
    small = shrink(png(5000, 1), FrameInput(width=640, height=640, fit="crop"))
    assert small.pixels.shape == (640, 640, 3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bytes_become_the_models_numbers(dtype: str) -> None:
    spec = FrameInput(
        width=5, height=4, dtype=dtype, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, (4, 5, 3)).astype(np.uint8) for _ in range(3)]
    tensor = fill_tensor(pictures, spec, 4)
    assert tensor.dtype == dtype
    assert tensor.shape == (4, 3, 4, 5)
    reference = (np.stack(pictures) / 255 - spec.mean) / spec.std
    assert np.allclose(tensor[:3], reference.transpose(0, 3, 1, 2), atol=2e-3 if dtype == "float16" else 1e-5)
    assert not tensor[3].any()


def test_bytes_stay_bytes_where_the_model_takes_them() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    tensor = fill_tensor([pixels], FrameInput(width=2, height=2, dtype="uint8", scale=0.5), 1)
    assert tensor.dtype == np.uint8
    assert (tensor[0] == pixels.transpose(2, 0, 1)).all()
