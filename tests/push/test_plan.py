"""Which stream, kind and time each file gets."""

import os
from pathlib import Path

import pytest

from datamanager.errors import ConfigError
from datamanager.kinds.recognise import HEAD_BYTES, recognise_kind
from datamanager.push.plan import plan_files

PNG = b"\x89PNG\r\n\x1a\n"
T0 = 1_700_000_000_000_000_000


def made(folder: Path, **files: bytes) -> None:
    for n, (name, data) in enumerate(files.items()):
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(T0 + n, T0 + n))


def test_numbered_files_are_one_stream_and_go_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    made(tmp_path, cam__f10_dot_png=PNG, cam__f2_dot_png=PNG, cam__f1_dot_png=PNG, notes_dot_md=b"# hello")
    found = plan_files([tmp_path])
    assert [(f.name, f.stream, f.kind) for f in found] == [
        ("cam/f1.png", "cam", "images"),
        ("cam/f2.png", "cam", "images"),
        ("cam/f10.png", "cam", "images"),
        ("notes.md", "notes", "markdown"),
    ]
    times = [f.t_ns for f in found[:3]]
    assert times == sorted(set(times))  # however they were written


def test_two_series_in_one_folder_are_two_streams(tmp_path: Path) -> None:
    made(tmp_path, a__f1_dot_rgb_dot_png=PNG, a__f2_dot_rgb_dot_png=PNG, a__f1_dot_txt=b"1", a__f2_dot_txt=b"2")
    assert {f.name: f.stream for f in plan_files([tmp_path])} == {
        "a/f1.rgb.png": "a/f_rgb",
        "a/f2.rgb.png": "a/f_rgb",
        "a/f1.txt": "a/f",
        "a/f2.txt": "a/f",
    }


def test_files_that_differ_in_their_ending_only_have_streams_of_their_own(tmp_path: Path) -> None:
    made(tmp_path, a_dot_png=PNG, a_dot_json=b"{}")
    assert sorted((f.stream, f.kind) for f in plan_files([tmp_path])) == [("a", "json"), ("a_png", "images")]


def test_what_is_said_goes_before_what_is_found(tmp_path: Path) -> None:
    made(tmp_path, a_dot_png=PNG, b_dot_png=PNG)
    found = plan_files([tmp_path / "a.png", tmp_path / "b.png"], stream="s", kind="file", t_ns=7)
    assert [(f.stream, f.kind, f.t_ns) for f in found] == [("s", "file", 7), ("s", "file", 1_000_007)]


def test_names_that_no_stream_may_have_are_made_legal(tmp_path: Path) -> None:
    made(tmp_path, **{"a b__ü__(1)_dot_txt": b"x", "1/2/3/4/5/6/7/8/9/deep_dot_txt": b"x"})
    assert sorted(f.stream for f in plan_files([tmp_path])) == ["1/2/3/4/5/6/7/8_9_deep", "a_b/_/1"]


def test_hidden_files_stay_and_what_is_missing_is_said(tmp_path: Path) -> None:
    made(tmp_path, **{".git__x": b"x", "_dot_hidden": b"x"})
    with pytest.raises(ConfigError, match="no file"):
        plan_files([tmp_path])
    with pytest.raises(ConfigError, match="not there"):
        plan_files([tmp_path / "none"])


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "x", "images"),
        (b"RIFF\0\0\0\0WAVE", "x", "audio"),
        (b"RIFF\0\0\0\0WEBP", "x", "images"),
        (b"RIFF\0\0\0\0AVI ", "x", "video"),
        (b"\0\0\0\x18ftypisom", "x.bin", "video"),
        (b"\0\0\0\x18ftypM4A ", "x.mp4", "audio"),
        (b"\0\0\0\x18ftypavif", "x", "images"),
        (b"\0\0\0\x18stypmsdh", "x.m4s", "video"),
        (b"\x1aE\xdf\xa3", "x.webm", "video"),
        (b"\x1aE\xdf\xa3", "x.weba", "audio"),
        (b"PK\x03\x04", "x", "zip"),
        (b"\0" * 257 + b"ustar", "x", "tar"),
        (b"\x1f\x8b\x08", "a.tar.gz", "tar"),
        (b"\x1f\x8b\x08", "a.txt.gz", "file"),
        ((2).to_bytes(8, "little") + b"{}", "x", "safetensors"),
        ((99).to_bytes(8, "little") + b"{}", "x", "file"),
        (b'{"a": 1}', "x.json", "json"),
        (b'{"a": 1}', "x", "json"),
        (b'{"a": ', "x.json", "file"),
        (b"{" * 100_000, "x", "file"),
        (b'{"a": 1}\n{"a": 2}', "x.jsonl", "file"),
        (b"a: 1", "x.yaml", "yaml"),
        (b"a = 1", "x.toml", "toml"),
        (b"# hi", "x.md", "markdown"),
        (b"a,b\n1,2", "x.csv", "csv"),
        ("a;ü".encode("latin-1"), "x.csv", "csv"),
        (b"12:00 started", "x.log", "log"),
        (b"\x81\xa1a\x01", "x.msgpack", "msgpack"),
        (b"\x81\xa6$dtype\x01", "x.msgpack", "vuer_msg"),
        (b"ply\nformat ascii", "x", "images"),
        (b"", "empty.json", "file"),
        (b"", "empty.csv", "file"),
        (b"\0\1\2", "x.md", "file"),
    ],
)
def test_kinds_are_told_by_content_before_names(data: bytes, name: str, kind: str) -> None:
    assert recognise_kind(data[:HEAD_BYTES], len(data), name) == kind
