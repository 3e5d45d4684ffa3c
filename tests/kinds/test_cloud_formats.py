"""Point clouds that lie, and clouds that are only odd."""

import struct
import time

import DracoPy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.image_samples import cloud, pack_lzf, pcd, ply

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits, inspect_image
from datamanager.kinds.images.formats.draco import MAX_ROOM, read_header
from datamanager.kinds.images.lzf import unpack_lzf

LIMITS = ImageLimits(max_pixels=1, max_points=20_000_000)
XYZ = b"property float x\nproperty float y\nproperty float z\n"


def look(data: bytes) -> ImageInfo:
    return inspect_image(data, declared_format=None, role=None, limits=LIMITS)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        look(data)
    return caught.value


def binary_ply(points: int, body: bytes, properties: bytes = XYZ, more: bytes = b"") -> bytes:
    head = b"ply\nformat binary_little_endian 1.0\nelement vertex %d\n" % points
    return head + properties + more + b"end_header\n" + body


@pytest.mark.parametrize("points", [3, 4_000_000_000, 10**14])
def test_a_ply_that_declares_more_points_than_it_has_is_refused(points: int) -> None:
    refused = refusal(binary_ply(points, bytes(24)))
    assert refused.code == "bad_payload"
    assert str(points) in refused.detail


@pytest.mark.parametrize("points", [4_000_000_000, 10])
def test_a_text_ply_that_declares_more_points_than_it_has_is_refused(points: int) -> None:
    data = b"ply\nformat ascii 1.0\nelement vertex %d\n" % points + XYZ + b"end_header\n" + b"1 2 3\n" * 9
    assert refusal(data).code == "bad_payload"


def test_a_ply_that_declares_fewer_points_than_it_has_is_noted() -> None:
    assert look(binary_ply(1, b"x" * 24)).notes == ("12 bytes follow the end of the elements",)


def test_bounds_leave_out_points_that_are_not_finite() -> None:
    xyz = np.array([[1, 2, 3], [np.nan, 9, 9], [9, np.inf, 9], [-1, 0, 5], [9, 9, -np.inf]], "<f4")
    assert look(binary_ply(5, xyz.tobytes())).bounds == ((-1, 0, 3), (1, 2, 5))


def test_a_cloud_of_nan_alone_has_no_bounds() -> None:
    info = look(binary_ply(3, np.full((3, 3), np.nan, "<f4").tobytes()))
    assert (info.points, info.bounds) == (3, None)


def test_an_empty_cloud_is_a_cloud() -> None:
    info = look(binary_ply(0, b""))
    assert (info.points, info.bounds) == (0, None)


def test_bounds_of_many_points_are_those_of_all() -> None:
    xyz = np.random.default_rng(1).normal(size=(200_000, 3)).astype("<f4")
    xyz[70_000] = np.nan
    info = look(binary_ply(len(xyz), xyz.tobytes()))
    finite = np.delete(xyz, 70_000, axis=0).astype(float)
    assert info.bounds == (tuple(finite.min(axis=0)), tuple(finite.max(axis=0)))


def test_coordinates_may_be_whole_numbers_doubles_and_in_any_order() -> None:
    properties = b"property uchar tag\nproperty double z\nproperty short x\nproperty float y\n"
    body = struct.pack("<Bdhf", 1, 2.5, -7, 0.5)
    assert look(binary_ply(1, body, properties)).bounds == ((-7, 0.5, 2.5), (-7, 0.5, 2.5))


def test_elements_with_lists_before_the_vertices_are_passed_over() -> None:
    head = b"ply\nformat binary_little_endian 1.0\nelement strip 3\nproperty list ushort int v\n"
    strips = b"".join(struct.pack(f"<H{n}i", n, *range(n)) for n in (3, 0, 5))
    data = head + b"element vertex 1\n" + XYZ + b"end_header\n" + strips + struct.pack("<fff", 1, 2, 3)
    assert look(data).bounds == ((1, 2, 3), (1, 2, 3))


def test_a_list_longer_than_the_file_is_refused() -> None:
    more = b"element face 2\nproperty list uint int v\n"
    body = bytes(12) + struct.pack("<I", 4_000_000_000) + bytes(40)
    assert refusal(binary_ply(1, body, more=more)).code == "bad_payload"


@pytest.mark.alone
def test_faces_of_changing_corners_take_no_time() -> None:
    """Triangles and squares in turn: no two rows alike, 300,000 of them."""
    pair = struct.pack("<B3i", 3, 0, 1, 2) + struct.pack("<B4i", 4, 0, 1, 2, 3)
    data = binary_ply(1, bytes(12) + pair * 150_000, more=b"element face 300000\nproperty list uchar int v\n")
    began = time.perf_counter()
    assert look(data).points == 1
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "header",
    [
        b"ply\nelement vertex 1\n" + XYZ,
        b"ply\nformat ascii 2.0\n",
        b"ply\nformat ascii 1.0\nelement vertex -1\n" + XYZ,
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty quad x\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + b"element vertex 1\n" + XYZ,
        b"ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + b"property list float int v\n",
        b"ply\nformat ascii 1.0\nelement face 1\n" + XYZ,
        b"ply\nformat ascii 1.0\nnonsense\nelement vertex 1\n" + XYZ,
        b"ply\nformat ascii 1.0\nelement vertex 99999999999999999999\n" + XYZ,
    ],
)
def test_a_ply_header_that_makes_no_sense_is_refused(header: bytes) -> None:
    assert refusal(header + b"end_header\n1 2 3\n").code == "bad_payload"


def test_a_ply_header_without_end_is_refused_however_long_the_file() -> None:
    assert "end_header" in refusal(b"ply\nformat ascii 1.0\n" + b"comment x\n" * 1_000_000).detail


def test_words_that_are_no_numbers_are_refused() -> None:
    data = b"ply\nformat ascii 1.0\nelement vertex 2\n" + XYZ + b"end_header\n1 2 3\n4 five 6\n"
    assert refusal(data).code == "bad_payload"


def test_lines_of_windows_and_of_old_macs_are_read() -> None:
    text = b"ply\nformat ascii 1.0\nelement vertex 2\n" + XYZ + b"end_header\n1 2 3\n4 5 6\n"
    for newline in (b"\r\n", b"\r"):
        assert look(text.replace(b"\n", newline)).bounds == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POINTS 60", b"POINTS 61"),
        (b"WIDTH 12", b"WIDTH 13"),
        (b"WIDTH 12", b"WIDTH twelve"),
        (b"SIZE 4 4 4 4", b"SIZE 4 4 4"),
        (b"SIZE 4 4 4 4", b"SIZE 4 4 3 4"),
        (b"TYPE F F F U", b"TYPE F F X U"),
        (b"COUNT 1 1 1 1", b"COUNT 1 1 0 1"),
        (b"COUNT 1 1 1 1", b"COUNT 1 1 1 99999999"),
        (b"FIELDS x y z rgb", b"FIELDS a b c rgb"),
        (b"DATA binary", b"DATA zip"),
        (b"DATA binary\n", b""),
        (b"HEIGHT 5", b"HEIGHT 5\nHEIGHT 5"),
        (b"HEIGHT 5", b"SECRET 5"),
    ],
)
def test_a_pcd_header_that_lies_is_refused(old: bytes, new: bytes) -> None:
    assert refusal(pcd("binary").replace(old, new, 1)).code == "bad_payload"


def test_a_pcd_that_declares_more_points_than_it_has_is_refused() -> None:
    for encoding in ("ascii", "binary", "binary_compressed"):
        data = pcd(encoding).replace(b"HEIGHT 5", b"HEIGHT 99999999").replace(b"POINTS 60", b"POINTS 1199999988")
        assert refusal(data).code == "bad_payload", encoding


def test_packed_points_that_could_not_come_of_so_few_bytes_are_refused() -> None:
    raw = 12 * 5_000_000 * 16
    data = pcd("binary_compressed").replace(b"HEIGHT 5", b"HEIGHT 5000000").replace(b"POINTS 60", b"POINTS 60000000")
    at = data.index(b"binary_compressed\n") + 18
    assert "cannot make" in refusal(data[: at + 4] + struct.pack("<I", raw) + data[at + 8 :]).detail


def test_a_pcd_without_points_and_count_lines_is_read() -> None:
    data = pcd("binary").replace(b"POINTS 60\n", b"").replace(b"COUNT 1 1 1 1\n", b"")
    info = look(data)
    assert (info.points, info.width, info.height) == (60, 12, 5)


def test_the_bounds_are_the_same_in_every_encoding() -> None:
    xyz, _ = cloud()
    for data in (ply(), ply("ascii"), ply("binary_big_endian", faces=True)):
        bounds = look(data).bounds
        assert bounds is not None
        assert bounds[0] == pytest.approx(xyz.min(axis=0), abs=1e-4)
        assert bounds[1] == pytest.approx(xyz.max(axis=0), abs=1e-4)


@given(st.binary(max_size=400).map(lambda b: b * 3))
def test_lzf_gives_back_what_was_packed(data: bytes) -> None:
    assert unpack_lzf(pack_lzf(data), len(data)) == data


@pytest.mark.parametrize("packed", [b"\x05abc", b"\x20", b"\xe0\x01", b"\x00a\x20\x05", b"\xe0"])
def test_lzf_that_ends_early_or_copies_from_nowhere_is_refused(packed: bytes) -> None:
    with pytest.raises(Refused):
        unpack_lzf(packed, 100)


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_lzf_of_anything_is_refused_or_has_the_size_that_was_asked_for(packed: bytes, size: int) -> None:
    try:
        assert len(unpack_lzf(packed, size)) == size
    except Refused as exc:
        assert exc.code == "bad_payload"  # noqa: PT017  # either outcome is right; no other is


@pytest.mark.alone
@pytest.mark.parametrize("points", [10**8, 2 * 10**7 + 1, 2**32 - 1])
def test_draco_that_declares_more_points_than_are_taken_is_refused_at_once(points: int) -> None:
    data = bytearray(DracoPy.encode(cloud()[0]))
    data[11:15] = struct.pack("<I", points)
    began = time.perf_counter()
    assert refusal(bytes(data)).code == "too_large"
    assert time.perf_counter() - began < 0.1


@pytest.mark.alone
def test_draco_that_would_take_much_room_is_not_decoded_when_it_arrives() -> None:
    data = bytearray(DracoPy.encode(cloud()[0]))
    data[11:15] = struct.pack("<I", MAX_ROOM // 12 + 1)
    began = time.perf_counter()
    info = look(bytes(data))
    assert time.perf_counter() - began < 0.1
    assert (info.points, info.bounds) == (MAX_ROOM // 12 + 1, None)
    assert "not decoded" in info.notes[0]


def test_draco_that_lies_within_the_room_is_decoded_and_refused() -> None:
    data = bytearray(DracoPy.encode(cloud()[0]))
    data[11:15] = struct.pack("<I", 100_000)
    assert "cannot be decoded" in refusal(bytes(data)).detail


@pytest.mark.parametrize(("place", "value"), [(5, 9), (5, 0), (6, 9), (7, 2), (8, 7)])
def test_draco_of_an_unknown_version_or_type_is_refused(place: int, value: int) -> None:
    data = bytearray(DracoPy.encode(cloud()[0]))
    data[place] = value
    assert "not known" in refusal(bytes(data)).detail


def test_draco_with_metadata_is_read_past_it() -> None:
    xyz, rgb = cloud()
    data = DracoPy.encode(xyz, generic_attributes={"heat": rgb[:, :1]}, preserve_order=True)
    assert data[10] & 0x80  # the flag that says that there is some
    header = read_header(data, LIMITS)
    assert (header.is_mesh, header.points, header.room) == (False, 60, 60 * (12 + 4))


def test_the_points_that_a_draco_header_names_are_those_decoded() -> None:
    for preserve_order in (False, True):
        for level in (0, 5, 10):
            data = DracoPy.encode(cloud()[0], preserve_order=preserve_order, compression_level=level)
            assert read_header(data, LIMITS).points == len(DracoPy.decode(data).points)
