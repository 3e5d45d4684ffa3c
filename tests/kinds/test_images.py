"""Kind `images`: what is taken, what is refused and why, and that neither takes long."""

import importlib
import json
import pkgutil
import time
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.image_samples import make_samples, picture, ply

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits, formats, inspect_image, is_costly
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.table import FORMATS, build_table, recognise

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "images"
EXPECTED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "expected.json").read_text())
LIMITS = ImageLimits(max_pixels=10_000_000, max_points=100_000)
SLOW_S = 0.5
# A mesh is not decoded when it arrives; a text may be cut within its last number. How many last bytes may be missing:
NOT_ALL_CUTS_SHOW = {"mesh.drc": 40, "ascii.pcd": 12, "ascii_faces.ply": 8}


def look(data: bytes, declared: str | None = None, role: str | None = None, limits: ImageLimits = LIMITS) -> ImageInfo:
    return inspect_image(data, declared_format=declared, role=role, limits=limits)


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        look(data, limits=limits)
    return caught.value


def test_every_format_module_stands_in_the_table() -> None:
    """A format that somebody writes and forgets to list would never be recognised."""
    names = {module.name for module in pkgutil.iter_modules(formats.__path__)}
    modules = [importlib.import_module(f"{formats.__name__}.{name}") for name in names]
    assert {module.FORMAT.name for module in modules} == set(FORMATS)
    assert len(modules) == len(FORMATS)


def test_a_format_listed_twice_is_an_error() -> None:
    one = FORMATS["jpeg"]
    with pytest.raises(ValueError, match="twice"):
        build_table([one, one])
    with pytest.raises(ValueError, match="twice"):
        build_table([one, replace(FORMATS["png"], extension=one.extension)])


def test_every_format_has_a_golden_file_and_none_is_missing() -> None:
    files = {path.name for path in GOLDEN.iterdir()} - {"expected.json"}
    assert files == set(EXPECTED)
    assert files == set(make_samples())
    assert {EXPECTED[name]["info"]["format"] for name in files} == set(FORMATS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_file_is_understood_as_it_always_was(name: str) -> None:
    info = json.loads(json.dumps(asdict(look(golden(name)))))
    expected = dict(EXPECTED[name]["info"])
    bounds, expected_bounds = info.pop("bounds"), expected.pop("bounds")
    assert info == expected
    if expected_bounds is None:
        assert bounds is None
    else:
        assert bounds[0] == pytest.approx(expected_bounds[0])
        assert bounds[1] == pytest.approx(expected_bounds[1])


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    data = golden(name)
    step = 10 if len(data) < 5000 else 250
    for length in range(0, len(data) - NOT_ALL_CUTS_SHOW.get(name, 1), step):
        if name != "mesh.drc" or length < 19:
            assert refusal(data[:length]).code == "bad_payload", length


@pytest.mark.alone
@pytest.mark.parametrize("name", EXPECTED)
def test_flipped_bits_never_raise_anything_but_a_refusal_and_never_take_long(name: str) -> None:
    data = golden(name)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, min(len(data), 3000) - 1), st.integers(0, 255)), min_size=1, max_size=6))
    def flip(changes: list[tuple[int, int]]) -> None:
        broken = bytearray(data)
        for place, value in changes:
            broken[place] = value
        began = time.perf_counter()
        try:
            assert isinstance(look(bytes(broken)), ImageInfo)
        except Refused as exc:
            assert exc.detail  # noqa: PT017  # either outcome is right; no other is
        assert time.perf_counter() - began < SLOW_S

    flip()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([golden(name)[:16] for name in EXPECTED]), st.binary(max_size=300))
def test_a_good_beginning_before_anything_is_refused_or_taken_and_never_worse(start: bytes, rest: bytes) -> None:
    try:
        look(start + rest)
    except Refused as exc:
        assert exc.detail  # noqa: PT017  # either outcome is right; no other is


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"GIF89a" + bytes(99), b"\0" * 100, b"\xff\xd8", b"DRACO", b"ply\n"]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    assert refusal(data).code == "bad_payload"


def test_a_refusal_says_where() -> None:
    refused = refusal(golden("rgb.png")[:100])
    assert refused.offset is not None
    assert "at byte" in refused.detail


@pytest.mark.parametrize("name", [name for name, e in EXPECTED.items() if e["info"]["role"] != "pointcloud"])
def test_the_limit_on_pixels_holds_to_the_pixel(name: str) -> None:
    info = EXPECTED[name]["info"]
    pixels = info["width"] * info["height"]
    for most in (pixels, pixels + 1):
        assert look(golden(name), limits=ImageLimits(most, 1)).width == info["width"]
    assert refusal(golden(name), ImageLimits(pixels - 1, 1)).code == "too_large"


@pytest.mark.parametrize("name", [name for name, e in EXPECTED.items() if e["info"]["points"]])
def test_the_limit_on_points_holds_to_the_point(name: str) -> None:
    points = EXPECTED[name]["info"]["points"]
    for most in (points, points + 1):
        assert look(golden(name), limits=ImageLimits(1, most)).points == points
    assert refusal(golden(name), ImageLimits(1, points - 1)).code == "too_large"


def test_content_decides_the_format_and_a_wrong_name_is_noted() -> None:
    info = look(golden("rgb.jpg"), declared="png")
    assert info.format == "jpeg"
    assert info.notes == ("declared as 'png', is jpeg",)


@pytest.mark.parametrize("declared", ["jpeg", "jpg", "JPG", ".jpg", "image/jpeg", None])
def test_usual_spellings_of_a_format_are_not_worth_a_note(declared: str | None) -> None:
    assert look(golden("rgb.jpg"), declared=declared).notes == ()


@pytest.mark.parametrize(
    ("name", "role", "expected"),
    [
        ("depth.png", None, "depth"),
        ("depth.tif", None, "depth"),
        ("metres.tif", None, "depth"),
        ("rgb.jpg", None, "rgb"),
        ("grey.jpg", None, "rgb"),
        ("little.ply", None, "pointcloud"),
        ("depth.png", "rgb", "rgb"),
        ("rgb.jpg", "depth", "depth"),
    ],
)
def test_a_role_that_is_given_wins_else_the_content_tells(name: str, role: str | None, expected: str) -> None:
    info = look(golden(name), role=role)
    assert (info.role, info.notes) == (expected, ())


@pytest.mark.parametrize(("name", "role"), [("rgb.jpg", "pointcloud"), ("little.ply", "depth"), ("rgb.jpg", "left")])
def test_a_role_that_does_not_suit_is_noted_and_not_followed(name: str, role: str) -> None:
    info = look(golden(name), role=role)
    assert info.role == EXPECTED[name]["info"]["role"]
    assert role in info.notes[0]


def test_the_first_format_that_recognises_is_the_only_one() -> None:
    for name, expected in EXPECTED.items():
        claims = [entry.name for entry in FORMATS.values() if entry.recognise(golden(name))]
        assert claims == [expected["info"]["format"]]
        found = recognise(golden(name))
        assert isinstance(found, ImageFormat)


@pytest.mark.alone
def test_a_camera_frame_takes_no_time_and_only_clouds_are_called_costly() -> None:
    big = picture(1280, 720).resize((2560, 1440))
    big.save(out := BytesIO(), "JPEG", quality=95)
    data = out.getvalue()
    assert len(data) > 100_000
    began = time.perf_counter()
    for _ in range(100):
        look(data)
    assert (time.perf_counter() - began) / 100 < 0.002
    assert not is_costly(data)
    assert is_costly(golden("kd_tree.drc"))
    assert not is_costly(golden("little.ply"))
    assert is_costly(ply() + bytes(1 << 20))


def test_bytes_behind_the_end_are_noted_and_padding_is_not() -> None:
    for name in ("rgb.jpg", "rgb.png", "lossy.webp", "little.ply", "binary.pcd", "compressed.pcd"):
        assert look(golden(name) + bytes(500)).notes == ()
        assert look(golden(name) + b"trailer").notes[0].startswith("7 bytes follow")


@pytest.mark.parametrize("pattern", ["*.jpg", "*.png", "*.pcd", "*.ply", "*.drc"])
def test_every_real_file_is_taken(recordings: Path, pattern: str) -> None:
    limits = ImageLimits(100_000_000, 20_000_000)
    files = sorted(recordings.parent.rglob(pattern))
    assert files
    for path in files:
        info = look(path.read_bytes(), limits=limits)
        assert info.role == "pointcloud" if path.suffix in (".pcd", ".ply", ".drc") else info.width, path
