"""Kind `file`: types by content."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.kinds.file import examine, sniff_mime_type
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "images"


def zipped(name: str) -> bytes:
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        archive.writestr(name, "content")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"", None, "application/octet-stream"),
        (b"", "x.csv", "application/octet-stream"),
        (bytes(range(256)), "lies.txt", "application/octet-stream"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", None, "application/pdf"),
        (b"\x89MCAP0\r\n" + bytes(50), None, "application/x-mcap"),
        (b"#ROSBAG V2.0\nx", "a.bin", "application/x-rosbag"),
        (b"ULog\x01\x12\x35\x01", None, "application/x-ulog"),
        (b"PAR1" + bytes(20) + b"PAR1", "x.csv", "application/vnd.apache.parquet"),
        (b"\x1f\x8b\x08" + bytes(30), None, "application/gzip"),
        (zipped("a.txt"), None, "application/zip"),
        (zipped("a.txt"), "a.zip", "application/zip"),
        (zipped("a.txt"), "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"just words\n", None, "text/plain"),
        (b"just words\n", "x.jpg", "text/plain"),
        (b"a,b\n1,2\n", "table.csv", "text/csv"),
        (b"BM,IT\n1,2\n", "table.csv", "text/csv"),
        (b"a: 1\n", "params.yaml", "application/yaml"),
        (b"a = 1\n", "params.toml", "application/toml"),
        (b"# Title\n", "README.md", "text/markdown"),
        (b'{"a": 1}', "a.json", "application/json"),
        ("grüße".encode(), None, "text/plain"),
        (b"x" * 4095 + "ü".encode() * 10, None, "text/plain"),
    ],
)
def test_content_decides_and_the_name_only_where_content_leaves_it_open(
    data: bytes, name: str | None, expected: str
) -> None:
    assert sniff_mime_type(data, name) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [("rgb.jpg", "image/jpeg"), ("depth.png", "image/png"), ("lossy.webp", "image/webp"), ("rgb.tif", "image/tiff"),
     ("rgb.avif", "image/avif"), ("little.ply", "application/x-ply"), ("binary.pcd", "application/x-pcd"),
     ("mesh.drc", "application/x-draco")],
)  # fmt: skip
def test_images_sent_as_files_are_known_as_what_they_are(file: str, expected: str) -> None:
    assert sniff_mime_type((GOLDEN / file).read_bytes(), "lies.txt") == expected


@given(st.binary(max_size=300), st.none() | st.text(max_size=20))
def test_any_bytes_with_any_name_are_a_file(data: bytes, name: str | None) -> None:
    found = examine(BytesSource(data), Hints(name=name), KindLimits())
    assert "/" in found.mime_type
    assert found.metadata == {"sniffed_mime_type": found.mime_type}


def test_of_a_large_file_only_the_ends_are_read() -> None:
    read: list[int] = []

    class Counted(BytesSource):
        def read(self, offset: int, size: int) -> bytes:
            read.append(size)
            return super().read(offset, size)

    data = b"\x89MCAP0\r\n" + bytes(5_000_000)
    assert examine(Counted(data), Hints(), KindLimits()).mime_type == "application/x-mcap"
    assert sum(read) < 200_000


def test_real_files_are_known(recordings: Path) -> None:
    found = {
        path.suffix: sniff_mime_type(path.read_bytes(), path.name) for path in recordings.rglob("*.*") if path.is_file()
    }
    expected = {
        ".mcap": "application/x-mcap",
        ".bag": "application/x-rosbag",
        ".ulg": "application/x-ulog",
        ".parquet": "application/vnd.apache.parquet",
        ".jpg": "image/jpeg",
        ".mp4": "video/mp4",
        ".pcd": "application/x-pcd",
        ".yaml": "application/yaml",
        ".json": "application/json",
    }
    assert {suffix: found[suffix] for suffix in expected} == expected
