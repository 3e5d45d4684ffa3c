"""Kinds `audio` and `video`: what is taken, what is refused and why, and that neither takes long."""

import importlib
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.image_samples import picture
from support.media_samples import annexb, chunk, sound_file, video_file, wav

from datamanager.errors import Refused
from datamanager.kinds.joined import JoinedSource
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.media.track import Container, Track, describe
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXPECTED: dict[str, dict[str, Any]] = {
    kind: json.loads((GOLDEN / kind / "expected.json").read_text()) for kind in ("audio", "video")
}
FILES = [(kind, name) for kind, names in EXPECTED.items() for name in names]
SLOW_S = 0.5


def examine(kind: str, data: bytes, payload: dict[str, Any] | None = None, limits: KindLimits | None = None) -> Found:
    module = importlib.import_module(f"datamanager.kinds.{kind}")
    found: Found = module.examine(BytesSource(data), Hints(payload=payload or {}), limits or KindLimits())
    return found


def refusal(kind: str, data: bytes, payload: dict[str, Any] | None = None, limits: KindLimits | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        examine(kind, data, payload, limits)
    return caught.value


def outcome(kind: str, data: bytes, payload: dict[str, Any] | None = None) -> str:
    """`taken`, or the code of the refusal; nothing else may come of any bytes."""
    try:
        examine(kind, data, payload)
    except Refused as refused:
        return refused.code
    return "taken"


def golden(kind: str, name: str) -> bytes:
    return (GOLDEN / kind / name).read_bytes()


def box(kind: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", len(body) + 8 if size is None else size, kind) + body


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_no_golden_file_is_missing_or_unknown(kind: str) -> None:
    assert {path.name for path in (GOLDEN / kind).iterdir()} == {*EXPECTED[kind], "expected.json"}


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_golden_files_are_what_they_were(kind: str, name: str) -> None:
    expected = EXPECTED[kind][name]
    found = examine(kind, golden(kind, name), expected["payload"])
    assert (found.mime_type, found.ending, found.metadata) == (
        expected["mime_type"],
        expected["ending"],
        expected["metadata"],
    )
    assert list(found.wants) == expected["wants"]


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_cut_at_every_tenth_byte_it_is_refused_or_answered(kind: str, name: str) -> None:
    data, payload = golden(kind, name), EXPECTED[kind][name]["payload"]
    began_s = time.perf_counter()
    for end in range(0, len(data), 10):
        assert outcome(kind, data[:end], payload) in ("taken", "bad_payload", "kind_mismatch"), end
    assert time.perf_counter() - began_s < 5


@pytest.mark.parametrize(
    ("kind", "name"),
    [f for f in FILES if f[1] not in ("tone.mp3", "tone.flac", "chunk.pcm", "chunk.h264", "whole_fragments.mp4")],
)
def test_what_says_how_long_it_is_is_refused_when_cut(kind: str, name: str) -> None:
    data = golden(kind, name)
    for end in range(1, len(data) - 1, max(1, len(data) // 50)):
        if name == "tone.opus" and end in page_ends(data):
            continue
        assert refusal(kind, data[:end]).code in ("bad_payload", "kind_mismatch"), end


def page_ends(data: bytes) -> set[int]:
    """Where an Ogg file may end: a recording that was cut between two pages is whole."""
    ends, at = set(), 0
    while at < len(data):
        table = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(table) + sum(table)
        ends.add(at)
    return ends


def test_each_says_what_the_other_is() -> None:
    cases = [
        ("audio", golden("video", "both.mp4"), "picture track"),
        ("audio", golden("video", "plain.avi"), "AVI"),
        ("audio", golden("video", "chunk.h264"), "H.264"),
        ("video", golden("audio", "tone.wav"), "WAV"),
        ("video", golden("audio", "tone.m4a"), "sound only"),
        ("video", golden("audio", "tone.weba"), "sound only"),
        ("video", golden("audio", "tone.opus"), "Ogg"),
        ("video", golden("audio", "tone.mp3"), "MP3"),
        ("video", golden("audio", "tone.flac"), "FLAC"),
    ]
    for kind, data, word in cases:
        refused = refusal(kind, data)
        assert refused.code == "kind_mismatch", (kind, word)
        assert word in refused.detail
        assert kind in refused.detail


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_what_is_neither_is_named(kind: str, tmp_path: Path) -> None:
    for ending, word in (("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("avif", "picture"), ("gif", "GIF")):
        path = tmp_path / f"a.{ending}"
        picture().save(path)
        refused = refusal(kind, path.read_bytes())
        assert refused.code == "kind_mismatch", ending
        assert word in refused.detail or "AVIF" in refused.detail
    assert refusal(kind, b"PK\3\4" + bytes(100)).code == "kind_mismatch"
    assert refusal(kind, b'{"a": 1}').code == "kind_mismatch"
    assert refusal(kind, "\ufeffa,b\n1,2\n".encode("utf-16-le") * 20).code == "bad_payload"  # begins like MPEG
    assert refusal(kind, b"").detail.startswith("it is empty")
    assert refusal(kind, b"\x00\x11\x22\x33" * 100).code == "bad_payload"


@pytest.mark.parametrize(
    ("kind", "data", "offset"),
    [
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", b"", size=5000), 16),
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", b"", size=4), 16),
        ("video", box(b"ftyp", b"isom" + bytes(4)) + struct.pack(">I4sQ", 1, b"mdat", 2**63), 16),
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(40)), 64),
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"trak", b"", size=999)), 24),
        ("video", b"RIFF" + struct.pack("<I", 5000) + b"AVI " + bytes(20), 0),
        ("audio", b"RIFF" + struct.pack("<I", 5000) + b"WAVE" + bytes(20), 4),
        ("audio", b"RIFF" + struct.pack("<I", 24) + b"WAVE" + b"fmt " + struct.pack("<I", 400) + bytes(12), 12),
        ("audio", b"ID3\4\0\0\0\0\x7f\x7f" + bytes(100), 0),
        ("audio", b"fLaC\0\0\0\x22" + bytes(20), 28),
        ("audio", b"fLaC\0\0\0\x21" + bytes(33), 4),
        ("audio", b"OggS\0\2" + bytes(20) + b"\1\xff" + b"OpusHead", 0),
        ("video", b"\x1a\x45\xdf\xa3\x88", 0),
        ("video", b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x08\0\0\0\0\0\xff\xff" + bytes(10), None),
    ],
)
def test_lying_lengths_are_refused_with_their_place(kind: str, data: bytes, offset: int | None) -> None:
    refused = refusal(kind, data)
    assert refused.code == "bad_payload"
    assert offset is None or refused.offset == offset, refused


def test_limits_hold_from_one_beyond() -> None:
    data = video_file(sound="aac")
    assert examine("video", data, limits=KindLimits(max_tracks=2)).metadata["tracks"] == 2
    assert refusal("video", data, limits=KindLimits(max_tracks=1)).code == "too_large"
    assert examine("video", data, limits=KindLimits(max_pixels=96 * 64)).metadata["width"] == 96
    assert refusal("video", data, limits=KindLimits(max_pixels=96 * 64 - 1)).code == "too_large"


def test_huge_pictures_are_refused() -> None:
    for name in ("both.mp4", "plain.avi", "both.mkv", "plain.webm"):
        data = bytearray(golden("video", name))
        if name == "both.mp4":
            at = data.index(b"avc1", data.index(b"stsd")) + 28
            data[at : at + 4] = b"\xff\xff\xff\xff"
        elif name == "plain.avi":
            at = data.index(b"strf") + 12
            data[at : at + 8] = struct.pack("<ii", 2**31 - 1, -(2**31))
        else:
            at = data.index(b"\xb0\x81\x60\xba\x81\x40")
            data[at : at + 6] = b"\xb0\x84\xff\xff\xff\xff"  # the height is lost, which is none that is known
        if name in ("both.mp4", "plain.avi"):
            assert refusal("video", bytes(data)).code == "too_large"
        else:
            assert outcome("video", bytes(data)) in ("taken", "bad_payload", "too_large")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"free") * 500_000),
        ("video", box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"trak", box(b"mdia", box(b"free"))) * 50_000)),
        ("video", b"\0\0\1\x65" * 1_000_000),
        ("video", b"\0\0\1\x67" + b"\0" * 1_000_000),
        ("video", b"RIFF" + struct.pack("<I", 8_000_004) + b"AVI " + chunk(b"JUNK", b"") * 1_000_000),
        ("audio", b"RIFF" + struct.pack("<I", 8_000_004) + b"WAVE" + chunk(b"JUNK", b"") * 1_000_000),
        ("audio", b"\xff" * 4_000_000),
        ("audio", b"\xff\xfb\x90\x00" * 100_000 + b"\xff"),
        ("audio", b"fLaC" + b"\0\0\0\x22" + bytes(10) + b"\x0b\xb8\0\xf0" + bytes(20) + b"\1\0\0\0" * 1_000_000),
        ("audio", b"OggS\0" * 400_000),
        ("audio", b"ID3\4\0\0\0\0\0\0" * 200_000),
        ("video", b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\xff" + b"\xec\x80" * 1_000_000),
    ],
)
def test_bombs_take_little_time(kind: str, data: bytes) -> None:
    began_s = time.process_time()
    assert outcome(kind, data) in ("taken", "bad_payload", "too_large", "kind_mismatch")
    assert time.process_time() - began_s < SLOW_S


def test_raw_samples_need_to_be_described() -> None:
    good = {"format": "pcm_s16le", "sample_rate": 16_000, "channels": 2}
    found = examine("audio", bytes(400), good)
    assert found.metadata["duration_s"] == 100 / 16_000
    assert refusal("audio", bytes(402), good).offset == 400
    assert refusal("audio", b"", good).code == "bad_payload"
    for change, code in (
        ({"sample_rate": None}, "missing_field"),
        ({"channels": None}, "missing_field"),
        ({"sample_rate": "16000"}, "wrong_type"),
        ({"sample_rate": True}, "wrong_type"),
        ({"sample_rate": 0}, "bad_payload"),
        ({"sample_rate": 1_000_001}, "bad_payload"),
        ({"channels": 257}, "bad_payload"),
        ({"format": "pcm_s17le"}, "bad_payload"),
        ({"format": 5}, "wrong_type"),
    ):
        assert refusal("audio", bytes(400), good | change).code == code, change


def test_a_rate_of_pictures_may_be_said_of_chunks() -> None:
    data = annexb(10, fps=25)
    assert examine("video", data, {"fps": 20}).metadata["duration_s"] == 0.5
    assert refusal("video", data, {"fps": "20"}).code == "wrong_type"
    assert refusal("video", data, {"fps": 0}).code == "bad_payload"
    assert refusal("video", data, {"fps": float("nan")}).code == "bad_payload"


def test_a_format_that_is_said_must_be_the_one_that_it_is() -> None:
    both = golden("video", "both.mp4")
    for said in ("mp4", "MP4", "mov", "something of ours"):
        assert examine("video", both, {"format": said}).metadata["format"] == "mp4"
    refused = refusal("video", both, {"format": "webm"})
    assert (refused.code, "webm" in refused.detail, "mp4" in refused.detail) == ("kind_mismatch", True, True)
    assert refusal("audio", golden("audio", "tone.mp3"), {"format": "wav"}).code == "kind_mismatch"


def test_a_frame_number_and_a_camera_are_kept() -> None:
    found = examine("video", golden("video", "chunk.h264"), {"frame_number": 7, "camera_id": "front", "fps": 5})
    assert (found.metadata["frame_number"], found.metadata["camera_id"], found.metadata["fps"]) == (7, "front", 5)
    assert refusal("video", golden("video", "both.mp4"), {"frame_number": "7"}).code == "wrong_type"
    assert refusal("video", golden("video", "both.mp4"), {"frame_number": 2**63}).code == "bad_payload"


def test_recordings_without_an_end_are_taken() -> None:
    live = sound_file("webm", "libopus", live="1")
    assert examine("audio", live).metadata["live"] is True
    assert examine("audio", live[:-100]).metadata["live"] is True
    endless = bytearray(wav())
    endless[4:8] = endless[40:44] = b"\xff\xff\xff\xff"
    assert examine("audio", bytes(endless)).metadata["duration_s"] == 0.5
    assert examine("audio", bytes(endless[:-1000])).metadata["duration_s"] == pytest.approx(0.5 - 500 / 16_000)


def test_numbers_that_no_database_keeps_are_left_out() -> None:
    data = golden("video", "plain.webm")
    at = data.index(b"\xb0\x81\x60\xba\x81\x40")
    changed = data[:at] + b"\xb0\x84\xff\xff\xff\xff" + data[at + 6 :]
    assert examine("video", changed).metadata["width"] == 2**32 - 1
    track = Track("video", "x", width=2**64 - 1, fps=float("inf"), duration_s=1e300)
    assert describe(Container("mkv", [track])) == {"format": "mkv", "tracks": 1, "codec": "x"}


def test_real_files_are_what_they_are(recordings: Path) -> None:
    (drive,) = recordings.glob("video/udacity/*.mp4")
    found = examine("video", drive.read_bytes()).metadata
    wanted = {"width": 960, "height": 540, "fps": 25.0, "frames": 221, "duration_s": 8.84, "audio_channels": 2}
    assert {name: found[name] for name in wanted} == wanted
    sounds = [p for p in (recordings.parent / "formats/audio").rglob("*") if p.suffix in (".wav", ".flac", ".opus")]
    assert len(sounds) > 20
    for path in sounds:
        assert examine("audio", path.read_bytes()).metadata["channels"] > 0, path


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (176, 144), (1280, 720), (1920, 1080)])
def test_the_size_of_h264_is_the_one_that_was_encoded(size: tuple[int, int]) -> None:
    found = examine("video", annexb(1, size=size)).metadata
    assert (found["width"], found["height"]) == size


def test_contents_are_joined_as_if_they_were_one() -> None:
    joined = JoinedSource([BytesSource(b"abc"), BytesSource(b""), BytesSource(b"defgh")])
    assert joined.size == 8
    for start in range(10):
        for size in range(10):
            assert joined.read(start, size) == b"abcdefgh"[start : start + size]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    front=st.booleans(),
    end=st.floats(0, 1),
)
def test_changed_bytes_are_refused_or_answered(
    which: tuple[str, str], changes: list[tuple[float, int]], front: bool, end: float
) -> None:
    kind, name = which
    data = bytearray(golden(kind, name))
    for place, value in changes:
        data[int(place * (min(200, len(data)) - 1 if front else len(data) - 1))] = value
    data = data[: max(1, int(end * len(data)))] if end < 0.3 else data
    assert outcome(kind, bytes(data), EXPECTED[kind][name]["payload"])
