"""H.264 as chunks: cut at keyframes, with parameters, nothing lost and nothing before its keyframe."""

import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
import httpx
import pytest
from support.hls import read_playlist, times_of
from support.media_samples import annexb, picture_at, video_file
from support.pulling import ROBOT, contents, pull, records
from support.rtsp_server import access_units, numbered, numbers_in
from support.waiting import eventually

from datamanager.errors import Refused
from datamanager.kinds.media.annexb import nals
from datamanager.pull.avc import AvcForm, look_at, read_form, with_start_codes
from datamanager.pull.chunks import Chunk, Chunker, Unit

S = 10**9
START = b"\0\0\0\1"


def units(count: int, *, fps: int = 20, gop: int = 10, bare: bool = False) -> list[Unit]:
    """Pictures of a camera; `bare` ones have their parameters nowhere."""
    pictures = access_units(annexb(count, fps=fps, gop=gop))
    found = []
    for n, picture in enumerate(pictures):
        kept = [unit for unit in picture if not (bare and unit[0] & 31 in {7, 8})]
        data = b"".join(START + unit for unit in numbered(kept, n))
        found.append(Unit(data, n * S // fps, float(n), is_key=n % gop == 0))
    return found


def gathered(chunker: Chunker, pictures: list[Unit]) -> list[Chunk]:
    return [chunk for unit in pictures for chunk in chunker.add(unit)] + list(chunker.finish())


@pytest.mark.parametrize(("gop", "frames"), [(5, 10), (10, 10), (20, 20), (25, 25), (60, 25)])
def test_a_chunk_ends_before_a_keyframe_or_after_a_second_and_a_quarter(gop: int, frames: int) -> None:
    chunks = gathered(Chunker(), units(120, gop=gop))
    assert [n for chunk in chunks for n in numbers_in(chunk.data)] == list(range(120))
    assert {chunk.frames for chunk in chunks[:2]} == {frames}
    assert [chunk.first_frame for chunk in chunks] == list(
        itertools.accumulate((c.frames for c in chunks[:-1]), initial=0)
    )
    assert [chunk.t_ns for chunk in chunks] == [chunk.first_frame * S // 20 for chunk in chunks]
    assert all(chunk.fps == pytest.approx(20) for chunk in chunks)
    assert all(chunk.is_key == look_at(chunk.data).has_idr or gop == 60 for chunk in chunks)


def test_each_chunk_that_begins_with_a_keyframe_begins_with_parameters() -> None:
    with_sets = units(40)[0].data
    sets = tuple(nal.data for nal in nals(with_sets) if nal.kind in {7, 8})
    chunker = Chunker()
    assert not list(chunker.begin(AvcForm(0, sets)))
    for chunk in gathered(chunker, units(40, bare=True)):
        assert [nal.kind for nal in nals(chunk.data)][:2] == [7, 8]
        with av.open(io.BytesIO(chunk.data), format="h264") as container:
            assert sum(1 for _ in container.decode(video=0)) == chunk.frames


def test_what_comes_before_a_keyframe_is_left_out_and_counted() -> None:
    chunker = Chunker()
    pictures = units(40)
    chunks = gathered(chunker, pictures[3:])
    assert chunker.waiting == 7
    assert [n for chunk in chunks for n in numbers_in(chunk.data)] == list(range(10, 40))
    assert not list(chunker.begin(AvcForm(0, ())))
    assert not [chunk for unit in pictures[33:] for chunk in chunker.add(unit)]
    assert chunker.waiting == 14


def test_after_a_lost_picture_it_waits_and_where_nothing_is_lost_it_goes_on() -> None:
    chunker, pictures = Chunker(), units(40)
    found = [chunk for unit in pictures[:13] for chunk in chunker.add(unit)]
    found += chunker.lost()
    found += gathered(chunker, pictures[14:])
    assert [n for chunk in found for n in numbers_in(chunk.data)] == [*range(13), *range(20, 40)]
    found = [chunk for unit in pictures[:13] for chunk in chunker.add(unit)]
    found += chunker.begin(AvcForm(0, ()))
    chunker.resume()
    found += gathered(chunker, pictures[13:])
    assert [n for chunk in found for n in numbers_in(chunk.data)] == list(range(40))


def test_no_chunk_grows_without_an_end() -> None:
    chunker = Chunker()
    first, *rest = units(10, gop=10)
    huge = [Unit(unit.data + b"\0\0\1\x0c" + b"\xff" * 3_000_000, unit.t_ns, 0, is_key=False) for unit in rest]
    assert max(chunk.nbytes for chunk in gathered(chunker, [first, *huge])) <= 8 * 1024 * 1024


def b_frames(path: Path, seconds: int) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 20
        stream.codec_context.options = {"bf": "2", "b-adapt": "0", "sc_threshold": "0", "preset": "veryfast"}
        for number in range(seconds * 20):
            frame = av.VideoFrame.from_ndarray(picture_at(number, 96, 64), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 20)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


async def test_a_film_passed_through_plays_as_hls_with_and_without_b_frames(
    server: str,
    worker: None,  # noqa: ARG001  # it makes what plays
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain.mp4"
    plain.write_bytes(video_file(seconds=4, fps=20, gop=20))
    films = {"plain": plain, "b": b_frames(tmp_path / "b.mp4", 4)}
    for stream, path in films.items():
        said = pull(server, path, *f"--session play --stream {stream} --time 1700000000".split(), "--end")
        assert ("it has B-frames" in said) == (stream == "b")
        found = records(server, "play", stream)
        assert sum(record["metadata"]["frames"] for record in found) == 80
        assert all(record["metadata"]["keyframes"] and record["metadata"]["parameter_sets"] for record in found)
        assert [int(record["t_ns"]) for record in found] == [1_700_000_000 * S + n * S for n in range(4)]
        for data in contents(server, found):
            with av.open(io.BytesIO(data), format="h264") as container:
                assert sum(1 for _ in container.decode(video=0)) == 20
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        for stream in films:
            path_of = f"/api/v1/sessions/{ROBOT}/play/playlist.m3u8"

            async def whole(stream: str = stream, path: str = path_of) -> bool:
                answer = await http.get(path, params={"stream": stream})
                return answer.status_code == 200 and "#EXT-X-ENDLIST" in answer.text

            await eventually(whole, timeout_s=60)
            playlist = read_playlist((await http.get(path_of, params={"stream": stream})).text)
            assert playlist.duration_s == pytest.approx(4, abs=0.05)
            with httpx.Client(trust_env=False) as blocking:
                shown = [t for part in playlist.parts for t in times_of(blocking, part)["video"]]
            assert len(shown) == 80


def test_h264_of_containers_gets_start_codes() -> None:
    sets = (b"\x67\x42\xc0\x0c\xda", b"\x68\xce\x3c\x80")
    avcc = b"\x01\x42\xc0\x0c\xff\xe1" + b"".join(
        count + len(data).to_bytes(2) + data for count, data in zip((b"", b"\x01"), sets, strict=True)
    )
    assert read_form(avcc) == AvcForm(4, sets)
    assert read_form(START + sets[0] + START + sets[1]) == AvcForm(0, sets)
    assert read_form(None) == AvcForm(0, ())
    data = b"".join(len(unit).to_bytes(4) + unit for unit in sets)
    assert with_start_codes(data, 4) == START + sets[0] + START + sets[1]


@pytest.mark.parametrize("cut", [*range(1, 9), 12])
def test_h264_that_is_cut_off_is_refused(cut: int) -> None:
    data = (5).to_bytes(4) + b"\x65abcd" + (4).to_bytes(4) + b"\x41abc"
    if cut != 8:
        with pytest.raises(Refused):
            with_start_codes(data[:-cut], 4)
    avcc = b"\x01\x42\xc0\x0c\xff\xe1\x00\x05\x67\x42\xc0\x0c\xda\x01\x00\x04\x68\xce\x3c\x80"
    with pytest.raises(Refused):
        read_form(avcc[: -min(cut, 6)] if cut < 5 else b"\x02" + avcc)
