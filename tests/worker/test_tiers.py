"""The tiers of every format: their size, their colours, and what is done about bytes that are broken inside."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import DracoPy
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.image_samples import depth_values, picture, png_chunk

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits, inspect_image
from datamanager.worker.depth import colour_depth
from datamanager.worker.tier import fit
from datamanager.worker.tiers import BOXES, Tier, make_preview, make_thumbnail, make_tiers
from datamanager.worker.turbo import TURBO

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "images"
EXPECTED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "expected.json").read_text())
LIMITS = ImageLimits(max_pixels=100_000_000, max_points=20_000_000)


def inspect(data: bytes, role: str | None = None) -> ImageInfo:
    return inspect_image(data, declared_format=None, role=role, limits=LIMITS)


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    image.save(out := BytesIO(), name, **options)
    return out.getvalue()


def opened(tier: Tier) -> Image.Image:
    image = Image.open(BytesIO(tier.data))
    assert image.size == (tier.width, tier.height)
    assert image.get_format_mimetype() == tier.mime_type
    return image


def pixels(tier: Tier) -> npt.NDArray[np.int16]:
    return np.asarray(opened(tier).convert("RGB")).astype(np.int16)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_file_has_the_tiers_it_always_had(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    tiers = make_tiers(data, inspect(data))
    expected = EXPECTED[name]["tiers"]
    assert tiers.keys() == expected.keys()
    for which, tier in tiers.items():
        assert tier.mime_type == expected[which]["mime_type"]
        if tier.extension == "drc":
            assert len(DracoPy.decode(tier.data).points) == expected[which]["points"]
        else:
            assert [*opened(tier).size] == expected[which]["size"]
            assert opened(tier).mode == expected[which]["mode"]


@pytest.mark.parametrize(
    "size", [(1280, 720), (640, 480), (720, 1280), (1920, 1080), (50, 40), (2000, 3), (3, 2000), (1, 1)]
)
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_tier_keeps_the_proportions_inside_its_box_and_never_enlarges(size: tuple[int, int], name: str) -> None:
    data = saved(picture(*size), name)
    for which, tier in make_tiers(data, inspect(data)).items():
        box = BOXES[which]
        scale = min(box[0] / size[0], box[1] / size[1], 1)
        assert tier.width is not None
        assert tier.height is not None
        assert tier.width <= box[0]
        assert tier.height <= box[1]
        assert abs(tier.width - max(1, size[0] * scale)) <= 1
        assert abs(tier.height - max(1, size[1] * scale)) <= 1


def test_one_tier_alone_is_as_large_as_both_together() -> None:
    data = (GOLDEN / "large.jpg").read_bytes()
    both = make_tiers(data, inspect(data))
    for which, alone in (
        ("preview", make_preview(data, inspect(data))),
        ("thumbnail", make_thumbnail(data, inspect(data))),
    ):
        other = both["preview" if which == "preview" else "thumbnail"]
        assert (alone.width, alone.height) == (other.width, other.height)
        assert np.abs(pixels(alone) - pixels(other)).mean() < 4
    assert make_tiers(data, inspect(data), ()) == {}


def test_a_preview_shows_what_the_picture_shows() -> None:
    original = picture(1280, 720)
    data = saved(original, "JPEG", quality=95)
    shown = np.asarray(original.resize((640, 360), Image.Resampling.BOX)).astype(np.int16)
    assert np.abs(pixels(make_preview(data, inspect(data))) - shown).mean() < 6


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_followed(turn: int) -> None:
    """A corner of each colour tells every one of the eight orientations from the others."""
    upright = np.zeros((80, 160, 3), np.uint8)
    upright[:40, :80], upright[:40, 80:], upright[40:, :80] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that stores it so that `turn` rights it
    stored = Image.fromarray(upright)
    if turn in undo:
        stored = stored.transpose(Image.Transpose(undo[turn]))
    exif = Image.Exif()
    exif[0x0112] = turn
    for name in ("JPEG", "PNG"):
        data = saved(stored, name, exif=exif)
        for tier in make_tiers(data, inspect(data)).values():
            assert tier.width == 2 * (tier.height or 0)
            seen = pixels(tier)
            h, w = seen.shape[:2]
            assert np.abs(seen[h // 4, w // 4] - (255, 0, 0)).max() < 40
            assert np.abs(seen[h // 4, 3 * w // 4] - (0, 255, 0)).max() < 40
            assert np.abs(seen[3 * h // 4, w // 4] - (0, 0, 255)).max() < 40


def test_broken_exif_does_not_cost_the_preview() -> None:
    whole = saved(picture(), "JPEG")
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xff garbage"
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]
    assert make_preview(data, inspect(data)).width == 96


def test_what_is_transparent_stays_so_and_idle_alpha_is_dropped() -> None:
    for name, extension in (("alpha.png", "webp"), ("lossless_alpha.webp", "webp"), ("opaque.png", "jpg")):
        data = (GOLDEN / name).read_bytes()
        assert make_preview(data, inspect(data)).extension == extension
    data = (GOLDEN / "alpha.png").read_bytes()
    alpha = np.asarray(opened(make_preview(data, inspect(data))).getchannel("A"))
    assert alpha[30, 2] < 20
    assert alpha[30, 93] > 235


def test_grey_of_16_bits_that_is_no_depth_becomes_plain_grey() -> None:
    data = saved(Image.fromarray((np.mgrid[0:64, 0:96][1] * 100 + 20_000).astype(np.uint16)), "PNG")
    preview = opened(make_preview(data, inspect(data, role="rgb")))
    assert preview.mode == "L"
    grey = np.asarray(preview)
    assert grey[30, 3] < 30
    assert grey[30, 92] > 225


def test_near_is_warm_far_is_cool_and_no_return_is_black() -> None:
    data = saved(Image.fromarray(depth_values()), "PNG")
    for tier in make_tiers(data, inspect(data)).values():
        seen = pixels(tier)
        assert opened(tier).mode == "RGB"
        assert seen[4, 4].max() < 30  # no return
        assert seen[60, 10][0] > seen[60, 10][2] + 80  # the near floor is red
        assert seen[4, 90][2] > seen[4, 90][0] + 40  # the far floor is blue


def test_saturated_and_not_finite_depths_are_no_returns() -> None:
    values = np.full((20, 30), 1000, np.uint16)
    values[:, 15:] = 1200
    values[:5, :5] = 65535
    data = saved(Image.fromarray(values), "PNG")
    assert pixels(make_preview(data, inspect(data)))[1, 1].max() < 40
    metres = (values / 1000).astype(np.float32)
    metres[:5, :5], metres[15:, :5] = np.nan, -1
    data = saved(Image.fromarray(metres), "TIFF")
    seen = pixels(make_preview(data, inspect(data)))
    assert seen[1, 1].max() < 40
    assert seen[18, 1].max() < 40
    assert seen[10, 5].max() > 100


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_depth_picture_of_one_value_has_tiers(value: int) -> None:
    data = saved(Image.fromarray(np.full((20, 30), value, np.uint16)), "PNG")
    assert (pixels(make_preview(data, inspect(data))).max() > 50) == (value == 7)


def test_a_depth_picture_in_colours_is_shown_in_its_own() -> None:
    data = saved(picture(), "JPEG", quality=95)
    assert np.abs(pixels(make_preview(data, inspect(data, role="depth"))) - np.asarray(picture())).mean() < 6


def test_small_tiers_do_not_mix_depths_with_holes() -> None:
    """A mean over no returns would show things nearer than they are."""
    whole = np.full((400, 600), 2000, np.uint16)
    whole[:, 300:] = 4000
    holed = whole.copy()
    holed[::2, ::2] = 0
    seen, expected = (
        pixels(make_thumbnail(data, inspect(data)))
        for data in (saved(Image.fromarray(holed), "PNG"), saved(Image.fromarray(whole), "PNG"))
    )
    assert np.abs(seen - expected).max() < 30


def test_turbo_is_the_published_map() -> None:
    """A few colours of the published table, dark blue to dark red; the polynomial is least exact at the ends."""
    table = {
        0: (48, 18, 59),
        32: (70, 107, 227),
        64: (40, 188, 235),
        128: (164, 252, 60),
        192: (250, 125, 32),
        255: (122, 4, 3),
    }
    for place, colour in table.items():
        assert np.abs(TURBO[place].astype(int) - colour).max() <= (35 if place in (0, 255) else 20), place


def test_colours_run_from_near_to_far() -> None:
    depth = np.array([[1, 2, 3, 9]], np.float32)
    known = np.array([[True, True, True, False]])
    colours = colour_depth(depth, known, 1, 3)
    assert colours[0, 0][0] > colours[0, 2][0]
    assert colours[0, 2][2] > colours[0, 0][2]
    assert colours[0, 3].tolist() == [0, 0, 0]


def test_a_png_of_good_structure_and_bad_data_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    for packed in (b"no deflate at all", zlib.compress(bytes(20)), zlib.compress(b"\x09" * 200)):
        body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
        data = b"\x89PNG\r\n\x1a\n" + body
        with pytest.raises(Refused) as caught:
            make_tiers(data, inspect(data))
        assert caught.value.code == "bad_payload"


def test_info_of_another_picture_is_not_believed() -> None:
    """What bounds memory is the size that was checked: a picture of another size is not decoded."""
    large = (GOLDEN / "large.jpg").read_bytes()
    with pytest.raises(Refused, match="as checked"):
        make_tiers(large, inspect((GOLDEN / "rgb.jpg").read_bytes()))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in ("mesh.drc", "large.jpg")])
def test_flipped_bits_give_tiers_or_a_refusal_and_nothing_else(name: str) -> None:
    data = (GOLDEN / name).read_bytes()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=4))
    def flip(changes: list[tuple[int, int]]) -> None:
        broken = bytearray(data)
        for place, value in changes:
            broken[place] = value
        try:
            info = inspect_image(bytes(broken), declared_format=None, role=None, limits=ImageLimits(10**6, 10**5))
            assert make_tiers(bytes(broken), info)
        except Refused as exc:
            assert exc.detail  # noqa: PT017  # either outcome is right; no other is

    flip()


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [((1920, 1080), (640, 360), (640, 360)), ((10, 10), (640, 360), (10, 10)), ((10_000, 1), (640, 360), (640, 1))],
)
def test_fitting(size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(size, box) == expected


def test_real_frames_have_tiers(recordings: Path) -> None:
    files = sorted((recordings / "rgbd" / "tsdf-fusion-python").glob("frame-00000[0-3]*.jpg"))
    files += sorted((recordings / "rgbd" / "tsdf-fusion-python").glob("frame-00000[0-3]*.png"))
    files += sorted((recordings / "image").rglob("1*.jpg"))[:3] + sorted((recordings / "pointcloud").rglob("*.pcd"))[:1]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes()
        for tier in make_tiers(data, inspect(data)).values():
            if tier.extension == "drc":
                assert len(DracoPy.decode(tier.data).points) > 20_000
            else:
                assert pixels(tier).std() > 10  # it shows something
