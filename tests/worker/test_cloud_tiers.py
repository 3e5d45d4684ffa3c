"""The tiers of point clouds: thinned, drawn, and decoded without letting a small file take all memory."""

import struct
import time
from pathlib import Path

import DracoPy
import numpy as np
import numpy.typing as npt
import pytest
from support.image_samples import ply

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits, inspect_image
from datamanager.worker.cloud import Cloud, read_cloud
from datamanager.worker.clouds import PREVIEW_POINTS
from datamanager.worker.draco import decode_draco
from datamanager.worker.render import draw_cloud
from datamanager.worker.thin import thin_cloud
from datamanager.worker.tiers import make_preview, make_thumbnail, make_tiers

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "images"
LIMITS = ImageLimits(max_pixels=100_000_000, max_points=20_000_000)


def inspect(data: bytes) -> ImageInfo:
    return inspect_image(data, declared_format=None, role=None, limits=LIMITS)


def big_cloud(points: int = 300_000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    xyz = random.normal(size=(points, 3))
    xyz = (xyz / np.linalg.norm(xyz, axis=1, keepdims=True) * 5).astype("<f4")
    return xyz, np.clip(xyz * 25 + 128, 0, 255).astype(np.uint8)


def ply_of(xyz: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8]) -> bytes:
    header = ply()[: ply().index(b"end_header\n") + 11].replace(b"vertex 60", b"vertex %d" % len(xyz))
    rows = np.zeros(len(xyz), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = xyz, rgb
    return header + rows.tobytes()


def test_a_large_cloud_is_thinned_evenly_and_keeps_its_colours() -> None:
    data = ply_of(*big_cloud())
    preview = make_preview(data, inspect(data))
    shown = DracoPy.decode(preview.data)
    assert PREVIEW_POINTS * 0.5 < len(shown.points) <= PREVIEW_POINTS
    assert np.abs(np.linalg.norm(shown.points, axis=1) - 5).max() < 0.01
    octants = np.bincount((shown.points > 0) @ [1, 2, 4], minlength=8) / len(shown.points)
    assert octants == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    assert np.abs(shown.colors[:, :3].astype(int) - np.clip(shown.points * 25 + 128, 0, 255)).max() <= 2
    assert preview.extension == "drc"
    assert (preview.width, preview.height) == (None, None)


def test_the_same_cloud_gives_the_same_tiers() -> None:
    data = ply_of(*big_cloud())
    assert make_tiers(data, inspect(data)) == make_tiers(data, inspect(data))


@pytest.mark.parametrize("count", [99, 100, 101, 5000])
def test_thinning_leaves_at_most_what_was_asked_for(count: int) -> None:
    random = np.random.default_rng(2)
    clouds = {
        "volume": random.normal(size=(count, 3)),
        "one point": np.ones((count, 3)),
        "line": np.arange(count)[:, None] * np.ones(3),
        "far away": random.normal(size=(count, 3)) + 5e6,
        "huge": random.normal(size=(count, 3)) * 1e17,
        "tiny": random.normal(size=(count, 3)) * 1e-9,
        "outlier": np.concatenate([random.normal(size=(count - 1, 3)), [[1e9, 1e9, 1e9]]]),
    }
    for name, xyz in clouds.items():
        thin = thin_cloud(Cloud(xyz, None), 100)
        assert 0 < len(thin.xyz) <= 100, name
        if count <= 100:
            assert len(thin.xyz) == count, name
        elif name in ("volume", "far away"):
            assert len(thin.xyz) > 40, name


@pytest.mark.parametrize("name", ["little.ply", "ascii_faces.ply", "ascii.pcd", "compressed.pcd", "kd_tree.drc"])
def test_every_encoding_gives_the_same_points_and_colours(name: str) -> None:
    reference = read_cloud((GOLDEN / "little.ply").read_bytes(), inspect((GOLDEN / "little.ply").read_bytes()))
    data = (GOLDEN / name).read_bytes()
    found = read_cloud(data, inspect(data))
    assert found.rgb is not None
    assert reference.rgb is not None
    by_height = {round(float(z), 1): tuple(rgb) for (_, _, z), rgb in zip(reference.xyz, reference.rgb, strict=True)}
    assert len(found.xyz) >= len(reference.xyz) - 1  # the PCD's first point is NaN
    for (_, _, z), rgb in zip(found.xyz, found.rgb, strict=True):
        assert by_height[round(float(z), 1)] == tuple(rgb)


def test_a_colour_packed_into_a_float_is_unpacked() -> None:
    header = b"VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA binary\n"
    data = header + struct.pack("<fffI", 1, 2, 3, 0xFF112233)
    found = read_cloud(data, inspect(data))
    assert found.rgb is not None
    assert found.rgb.tolist() == [[0x11, 0x22, 0x33]]


def test_a_cloud_without_a_finite_point_has_a_thumbnail_and_no_preview() -> None:
    xyz = np.full((5, 3), np.nan, "<f4")
    data = ply_of(xyz, np.zeros((5, 3), np.uint8))
    assert make_thumbnail(data, inspect(data)).width == 120
    with pytest.raises(Refused, match="nothing to show"):
        make_preview(data, inspect(data))


def test_a_drawing_shows_the_nearer_of_two_points_and_keeps_its_colours() -> None:
    """Before a camera at the origin: a red square near by hides the blue one behind it."""
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    flat = np.stack([x.ravel(), y.ravel(), np.ones(3600)], axis=1)
    xyz = np.concatenate([flat * (0.2, 0.2, 1.0), flat * (2, 2, 2)])
    rgb = np.repeat(np.array([[255, 0, 0], [0, 0, 255]], np.uint8), 3600, axis=0)
    drawn = np.asarray(draw_cloud(Cloud(xyz, rgb), (120, 68)))
    assert drawn[34, 60].tolist() == [255, 0, 0]
    assert drawn[34, 40][2] > 120
    assert drawn[34, 2].max() < 40  # beside the square there is background


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_drawing_of_few_points_is_a_drawing(count: int) -> None:
    drawn = np.asarray(draw_cloud(Cloud(np.arange(count * 3.0).reshape(-1, 3), None), (120, 68)))
    assert drawn.shape == (68, 120, 3)
    assert (drawn.max() > 60) == (count > 0)


def test_a_mesh_is_decoded_by_a_child() -> None:
    data = (GOLDEN / "mesh.drc").read_bytes()
    points, colours = decode_draco(data, None)
    assert points.shape == (6, 3)
    assert colours is not None
    assert colours.shape == (6, 3)


def test_a_broken_mesh_is_refused_with_what_the_child_said() -> None:
    data = (GOLDEN / "mesh.drc").read_bytes()
    with pytest.raises(Refused, match="cannot be decoded") as caught:
        decode_draco(data[:60], None)
    assert caught.value.code == "bad_payload"


def test_a_header_that_asks_for_all_memory_ends_the_child_and_not_us() -> None:
    data = bytearray((GOLDEN / "sequential.drc").read_bytes())
    data[11:15] = struct.pack("<I", 2**31 - 1)
    began = time.monotonic()
    with pytest.raises(Refused):
        decode_draco(bytes(data), None)
    assert time.monotonic() - began < 25


def test_a_packed_cloud_of_good_structure_and_bad_data_is_refused() -> None:
    data = bytearray((GOLDEN / "compressed.pcd").read_bytes())
    at = data.index(b"binary_compressed\n") + 26
    data[at : at + 40] = b"\xff" * 40
    with pytest.raises(Refused) as caught:
        make_tiers(bytes(data), inspect(bytes(data)))
    assert caught.value.code == "bad_payload"
