"""What children make of sound and video, without a worker around them."""

import io
import itertools
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.media_samples import annexb, fragments, picture_at, tone, video_file, wav

from datamanager.errors import Refused
from datamanager.kinds.joined import JoinedSource
from datamanager.kinds.media.annexb import nals
from datamanager.kinds.media.mp4 import read_mp4
from datamanager.kinds.media.peaks import read_waveform
from datamanager.kinds.media.window import Window
from datamanager.kinds.source import BytesSource
from datamanager.playback.hls import PlaylistPart, PlaylistSegment, write_playlist
from datamanager.worker.media.avc import find_form, has_reordering, pictures_of
from datamanager.worker.media.child import SliceRequest, transcode_slice
from datamanager.worker.media.fmp4 import Segment
from datamanager.worker.media.keyframes import keyframe_pictures
from datamanager.worker.media.remux import remux
from datamanager.worker.media.sound import SoundLimits, sound_products
from datamanager.worker.media.transcode import TranscodeLimits, Transcoder
from datamanager.worker.media.waveform import PeakMeter

LIMITS = TranscodeLimits(max_duration_s=3600, max_pixels=10_000_000)


def transcode(data: bytes, form: str = "mp4", limits: TranscodeLimits = LIMITS, **more: int) -> Any:
    transcoder = Transcoder(BytesSource(data), form, limits, **more)
    segments = list(transcoder.segments())
    transcoder.close()
    return transcoder, segments


def times(init: bytes, segments: list[Segment], kind: str) -> list[float]:
    with av.open(io.BytesIO(init + b"".join(s.data for s in segments))) as container:
        stream = container.streams.best(kind)  # type: ignore[arg-type]  # one of its literals
        return [float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None]


@settings(max_examples=40)
@given(
    cuts=st.lists(st.integers(0, 60_000), max_size=12),
    seed=st.integers(0, 5),
    length=st.integers(1, 60_000),
)
def test_peaks_do_not_hang_on_how_the_sound_comes(cuts: list[int], seed: int, length: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, (2, length)).astype(np.float32)
    meter = PeakMeter(8000, 2)
    for start, end in itertools.pairwise(sorted({0, length, *(c for c in cuts if c < length)})):
        meter.add(sound[:, start:end])
    shape = read_waveform(meter.encode(), 8192)
    width = int(shape.samples_per_bucket)
    expected = [sound[:, at : at + width].max() for at in range(0, length, width)]
    assert np.allclose(shape.max, expected, atol=1e-4)
    fewer = read_waveform(meter.encode(), 7)
    assert len(fewer.max) == min(7, len(expected))
    assert max(fewer.max) == max(shape.max)
    assert min(fewer.min) == min(shape.min)


def test_peaks_of_a_long_sound_stay_few() -> None:
    meter = PeakMeter(48_000, 1)
    block = np.linspace(-0.5, 0.5, 48_000, dtype=np.float32)[None]
    for _ in range(60):
        meter.add(block)
    shape = read_waveform(meter.encode(), 8192)
    assert 4096 <= len(shape.max) <= 8192
    assert np.allclose((min(shape.min), max(shape.max)), (-0.5, 0.5), atol=1e-4)


def test_a_preview_ends_where_it_may_not_go_on() -> None:
    made = sound_products(BytesSource(wav(3)), "wav", None, SoundLimits(max_duration_s=2, preview_s=1))
    assert made.is_cut
    assert 2 <= made.duration_s < 2.2
    with av.open(io.BytesIO(made.preview)) as container:
        assert 0.8 < sum(f.samples for f in container.decode(audio=0)) / 48_000 <= 1.1


@pytest.mark.parametrize(
    "form", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"]
)
def test_raw_samples_of_every_format_are_heard(form: str) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="wav") as container:
        stream: Any = container.add_stream(form, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.5, 8000), "s16", "mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    data = out.getvalue()
    raw = data[data.index(b"data") + 8 :]
    made = sound_products(BytesSource(raw), "pcm", (form, 8000, 1), SoundLimits(10, 10))
    shape = read_waveform(made.peaks, 100)
    assert 0.4 < max(shape.max) < 0.6


def test_a_preview_that_is_gone_on_with_fits_to_what_came_before() -> None:
    data = video_file(seconds=10, fps=10, gop=25, sound="aac")
    whole, segments = transcode(data)
    assert [s.ticks / 90_000 for s in segments] == [4, 4, 2]
    rest, later = transcode(data, start=segments[0].ticks, number=1)
    assert rest.init == whole.init
    assert [(s.start, s.ticks) for s in later] == [(s.start, s.ticks) for s in segments[1:]]
    joined = [segments[0], *later]
    for kind in ("video", "audio"):
        assert times(whole.init, joined, kind) == times(whole.init, segments, kind)
    for segment in segments:
        with av.open(io.BytesIO(whole.init + segment.data)) as container:
            assert next(container.decode(video=0)).key_frame


def test_slices_are_gone_on_with_whoever_made_the_one_before() -> None:
    data, other = video_file(seconds=10, fps=10), video_file(seconds=6, fps=10)
    at, count, found = 0, 0, []
    while True:
        made = transcode_slice(BytesSource(data), SliceRequest("one", "mp4", at, count, LIMITS, budget_s=0))
        found += made.segments
        at, count = made.at, count + len(made.segments)
        if made.finished:
            break
        if count == 1:  # another video comes in between, and what was held is let go
            transcode_slice(BytesSource(other), SliceRequest("two", "mp4", 0, 0, LIMITS, budget_s=0))
    assert [(s.start, s.ticks) for s in found] == [(s.start, s.ticks) for s in transcode(data)[1]]


def test_fast_pictures_are_thinned_and_slow_ones_kept() -> None:
    fast, segments = transcode(video_file(seconds=2, fps=60))
    assert len(times(fast.init, segments, "video")) == 60
    slow, segments = transcode(video_file(seconds=10, fps=1))
    assert times(slow.init, segments, "video") == list(range(10))


def test_large_pictures_fit_the_box_and_small_ones_stay() -> None:
    assert transcode(video_file(seconds=1, size=(1280, 960)))[0].size == (480, 360)
    assert transcode(video_file(seconds=1, size=(98, 66)))[0].size == (98, 66)


def test_what_goes_beyond_a_limit_is_cut_or_refused() -> None:
    data = video_file(seconds=10, fps=10)
    cut, segments = transcode(data, limits=TranscodeLimits(5, 10_000_000))
    assert sum(s.ticks for s in segments) == 5 * 90_000
    assert "longer" in (cut.cut or "")
    with pytest.raises(Refused) as caught:
        transcode(data, limits=TranscodeLimits(5, 96 * 64 - 1))
    assert caught.value.code in ("too_large", "bad_payload")


def test_keyframes_are_spread_over_the_video() -> None:
    data = video_file(seconds=10, fps=10, gop=10)
    few = keyframe_pictures(BytesSource(data), "mp4", 5, LIMITS)
    assert [p.offset_s for p in few] == [0, 2, 4, 6, 8]
    assert len(keyframe_pictures(BytesSource(data), "mp4", 100, LIMITS)) == 10
    assert [p.mime_type for p in few] == ["image/jpeg"] * 5


@pytest.mark.parametrize("form", ["avi", "matroska", "webm", "mov"])
def test_every_container_gives_a_preview(form: str) -> None:
    codec = "libvpx-vp9" if form == "webm" else "mpeg4"
    ours = {"matroska": "mkv"}.get(form, form)
    made, segments = transcode(video_file(form, codec, seconds=2), ours)
    assert np.allclose(times(made.init, segments, "video"), np.arange(20) / 10, atol=0.002)


def reordered(count: int) -> bytes:
    """H.264 whose pictures come in another order than they are shown in."""
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as out:
        stream: Any = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.options = {"bf": "2", "b-adapt": "0"}
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture_at(number, 96, 64), "rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def test_pictures_that_come_in_another_order_are_encoded_anew() -> None:
    data = reordered(60)
    assert has_reordering(nals(data))
    assert remux(BytesSource(data), None, 0, 90_000) is None
    assert not has_reordering(nals(annexb()))
    made = transcode_slice(BytesSource(data), SliceRequest("b", "h264", 0, 0, LIMITS, base=900_000, fps=10))
    assert np.allclose(times(made.init, made.segments, "video"), 10 + np.arange(60) / 10, atol=1e-3)
    rest = transcode_slice(BytesSource(data), SliceRequest("b", "h264", 360_000, 1, LIMITS, base=900_000, fps=10))
    assert [(s.start, s.ticks) for s in rest.segments] == [(360_000, 180_000)]


def test_a_long_chunk_is_parted_at_its_keyframes() -> None:
    made = remux(BytesSource(annexb(60, gop=10)), None, 900_000, 6 * 90_000)
    assert made is not None
    assert [s.ticks / 90_000 for s in made.segments] == [2, 2, 2]
    assert np.allclose(times(made.init, made.segments, "video"), 10 + np.arange(60) / 10, atol=1e-3)


def test_what_is_written_is_read_back() -> None:
    units = list(nals(annexb(10)))
    assert len(pictures_of(units)) == 10
    form = find_form(units)
    assert form is not None
    made = remux(BytesSource(annexb(10)), None, 123, 90_000)
    assert made is not None
    found = read_mp4(Window(JoinedSource([BytesSource(made.init), BytesSource(made.segments[0].data)])))
    assert [(r.start, r.samples, r.ticks) for r in found.runs] == [(123, 10, 90_000)]
    assert found.container.tracks[0].fps == 10
    head = read_mp4(Window(BytesSource(fragments()[0])))
    assert head.part == "init"


def part(base: int, *, init: str = "i", live: bool = True, start_ns: int = 0) -> PlaylistPart:
    return PlaylistPart(start_ns, base, init, [PlaylistSegment(f"k{base}", 90_000)], live, independent=True)


def test_only_what_does_not_follow_is_a_discontinuity() -> None:
    def tags(*parts: PlaylistPart) -> list[str]:
        urls = {name: f"http://s3/{name}" for p in parts for name in (p.init, p.segments[0].key)}
        lines = write_playlist(parts, urls, is_ended=True).splitlines()
        return [
            line.split(":")[0].removeprefix("#EXT-X-") for line in lines if line.startswith(("#EXT-X-DI", "#EXT-X-MA"))
        ]

    assert tags(part(0), part(90_000), part(180_100)) == ["MAP"]
    assert tags(part(0), part(900_000)) == ["MAP", "DISCONTINUITY"]
    assert tags(part(0), part(90_000, init="j")) == ["MAP", "DISCONTINUITY", "MAP"]
    assert tags(part(0, live=False), part(90_000, live=False)) == ["MAP", "DISCONTINUITY"]


def test_a_playlist_of_the_last_day_there_is() -> None:
    last = part(0, start_ns=253_402_300_799 * 10**9)
    text = write_playlist([last], {"i": "i", "k0": "k"}, is_ended=False)
    assert "#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59.000Z" in text
    assert "ENDLIST" not in text
