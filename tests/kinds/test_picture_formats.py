"""Pictures that lie, one format at a time: headers, lengths, bombs."""

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image
from support.image_samples import picture, png_chunk

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits, inspect_image

LIMITS = ImageLimits(max_pixels=100_000_000, max_points=1)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def look(data: bytes) -> ImageInfo:
    return inspect_image(data, declared_format=None, role=None, limits=LIMITS)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        look(data)
    return caught.value


def saved(name: str, **options: object) -> bytes:
    picture().save(out := BytesIO(), name, **options)
    return out.getvalue()


def png(
    width: int, height: int, *, bits: int = 8, colour: int = 2, packed: bytes = b"x" * 20, more: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return SIGNATURE + png_chunk(b"IHDR", header) + more + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def test_a_png_bomb_is_refused_by_what_it_declares() -> None:
    assert refusal(png(50_000, 50_000)).code == "too_large"
    assert "50000 x 50000" in refusal(png(50_000, 50_000)).detail


def test_a_png_that_declares_more_than_its_data_can_inflate_to_is_refused() -> None:
    """Deflate makes at most 1032 bytes of one: 20 bytes cannot hold 10,000 x 10,000 pixels."""
    assert refusal(png(10_000, 10_000)).code == "bad_payload"
    rows = zlib.compress(bytes(10_001 * 1000), 9)
    assert look(png(10_000, 1000, bits=8, colour=0, packed=rows)).width == 10_000


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(width: int, height: int) -> None:
    assert refusal(png(width, height)).code == "bad_payload"


@pytest.mark.parametrize(("bits", "colour"), [(3, 0), (4, 2), (16, 3), (8, 1), (8, 7)])
def test_a_png_of_a_kind_that_does_not_exist_is_refused(bits: int, colour: int) -> None:
    assert "no such PNG" in refusal(png(4, 4, bits=bits, colour=colour)).detail


def test_a_png_chunk_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(png(4, 4))
    data[45] ^= 1
    assert "checksum" in refusal(bytes(data)).detail


def test_a_palette_png_needs_its_palette() -> None:
    assert "palette" in refusal(png(4, 4, colour=3)).detail
    assert look(png(4, 4, colour=3, more=png_chunk(b"PLTE", b"abc"))).mode == "P"


def test_a_png_of_a_million_empty_chunks_is_unsafe() -> None:
    assert refusal(png(4, 4, more=png_chunk(b"teXt", b"") * 70_000)).code == "unsafe_content"


def test_a_png_without_picture_data_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    data = SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")
    assert "IDAT" in refusal(data).detail


def jpeg_sized(width: int, height: int) -> bytes:
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_a_jpeg_that_declares_too_much_is_refused() -> None:
    assert refusal(jpeg_sized(65_000, 65_000)).code == "too_large"
    assert "cannot hold" in refusal(jpeg_sized(9000, 9000)).detail
    assert refusal(jpeg_sized(0, 10)).code == "bad_payload"


def test_the_end_marker_of_a_preview_inside_a_jpeg_does_not_count() -> None:
    """EXIF holds a whole JPEG: its end marker must not pass for the end of a truncated picture."""
    exif = b"Exif\0\0" + saved("JPEG")
    whole = saved("JPEG")
    nested = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]
    assert look(nested).width == 96
    assert "end marker" in refusal(nested[: len(nested) - 20]).detail


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    whole = saved("JPEG")
    assert look(whole[:2] + b"\xff" * 100 + whole[2:]).width == 96


@pytest.mark.parametrize(("scans", "is_safe"), [(199, True), (200, True), (201, False)])
def test_a_jpeg_of_too_many_scans_is_unsafe(scans: int, is_safe: bool) -> None:
    """Each scan of a progressive JPEG walks over all its blocks: thousands of them take minutes."""
    whole = saved("JPEG", progressive=True)
    there = whole.count(b"\xff\xda") - 1  # the first is where the search begins
    data = whole[:-2] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" * (scans - there) + whole[-2:]
    if is_safe:
        assert look(data).width == 96
    else:
        assert refusal(data).code == "unsafe_content"


def test_a_jpeg_of_too_many_segments_is_unsafe() -> None:
    whole = saved("JPEG")
    assert look(whole[:2] + b"\xff\xfe\0\x02" * 4000 + whole[2:]).width == 96
    assert refusal(whole[:2] + b"\xff\xfe\0\x02" * 5000 + whole[2:]).code == "unsafe_content"


@pytest.mark.parametrize("length", [0, 1])
def test_a_jpeg_segment_shorter_than_its_length_field_is_refused(length: int) -> None:
    assert refusal(b"\xff\xd8\xff\xe0" + struct.pack(">H", length) + bytes(20)).code == "bad_payload"


def test_a_webp_chunk_that_reaches_over_its_container_is_refused() -> None:
    data = bytearray(saved("WEBP"))
    data[16:20] = struct.pack("<I", len(data))
    assert "reaches over" in refusal(bytes(data)).detail


def test_a_webp_without_a_picture_is_refused() -> None:
    body = b"WEBP" + b"EXIF" + struct.pack("<I", 4) + b"none"
    assert "no picture" in refusal(b"RIFF" + struct.pack("<I", len(body)) + body).detail


def test_a_webp_with_a_huge_canvas_is_refused() -> None:
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + b"\xff\xff\xff" * 2
    body = b"WEBP" + canvas
    assert refusal(b"RIFF" + struct.pack("<I", len(body)) + body).code == "too_large"


def tiff(fields: list[tuple[int, int, int, int]], *, following: int = 0, tail: bytes = bytes(48)) -> bytes:
    entries = b"".join(struct.pack("<HHII", *f) for f in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", following) + tail


GOOD = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (273, 4, 1, 90), (279, 4, 1, 16)]


def test_a_minimal_tiff_is_taken() -> None:
    info = look(tiff(GOOD))
    assert (info.width, info.height, info.mode) == (4, 4, "L")


@pytest.mark.parametrize(
    ("place", "entry", "why"),
    [
        (3, (273, 4, 1, 5000), "beyond the end"),
        (4, (279, 4, 1, 5000), "beyond the end"),
        (4, (279, 4, 1, 2**32 - 1), "beyond the end"),
        (4, (279, 4, 1, 3), "cannot hold"),
        (4, (280, 4, 1, 3), "no strips"),
        (0, (256, 4, 1, 0), "0 x 4"),
        (0, (256, 2, 4, 0), "whole numbers"),
        (0, (255, 4, 1, 4), "no width"),
        (3, (273, 4, 2**31, 90), "truncated"),
    ],
)
def test_a_tiff_that_lies_is_refused(place: int, entry: tuple[int, int, int, int], why: str) -> None:
    fields = list(GOOD)
    fields[place] = entry
    assert why in refusal(tiff(fields)).detail


def test_tiff_directories_in_a_ring_are_refused() -> None:
    assert "ring" in refusal(tiff(GOOD, following=8)).detail


def test_a_tiff_bomb_is_refused_by_what_it_declares() -> None:
    assert refusal(tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), *GOOD[2:]])).code == "too_large"


def test_an_avif_whose_picture_lies_beyond_the_end_is_refused() -> None:
    data = saved("AVIF")
    at = data.index(b"mdat") - 4
    open_ended = data[:at] + bytes(4) + data[at + 4 :]  # size 0: to the end of the file
    assert look(open_ended).width == 96
    assert "picture's data" in refusal(open_ended[:-50]).detail


def test_an_avif_that_declares_too_much_is_refused() -> None:
    data = bytearray(saved("AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 50_000, 50_000)
    assert refusal(bytes(data)).code == "too_large"


def test_heic_is_not_taken_for_avif() -> None:
    data = saved("AVIF")
    head = data[: int.from_bytes(data[:4], "big")].replace(b"avif", b"heic").replace(b"avis", b"heic")
    assert "starts with" in refusal(head + data[len(head) :]).detail


def test_pillow_opens_what_is_taken_with_the_size_that_was_read() -> None:
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        data = saved(name)
        with Image.open(BytesIO(data)) as image:
            assert image.size == (look(data).width, look(data).height)
