"""Sources over HTTP: MJPEG, MPEG-TS, HLS that goes on, and files; dropped and restored, and nothing doubled."""

import io
import itertools
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.camera_streams import LiveCamera
from support.http_camera import Conversation, HttpCamera, answer, mjpeg, numbers_of
from support.media_samples import picture_at, video_file
from support.processes import wait_until
from support.pulling import contents, numbers, pull, pulling_here, records

FPS = 20
S = 10**9


def jpegs(count: int = 40) -> list[bytes]:
    found = []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(picture_at(number, 96, 64)).save(file, "JPEG")
        found.append(file.getvalue())
    return found


def gaps(came: list[int]) -> int:
    return sum(b - a > 1 for a, b in itertools.pairwise(came))


def test_the_pictures_of_mjpeg_come_as_they_are_and_go_on_after_a_break(server: str) -> None:
    paths = {"/cam": mjpeg(jpegs(), fps=FPS), "/bare": mjpeg(jpegs(), fps=FPS, lengths=False)}
    with HttpCamera(paths) as camera:
        with pulling_here(server, f"{camera.url}/cam", "mjpeg", "cam", fps=100) as said:
            wait_until(lambda: "mjpeg, as JPEG frames" in str(said))
            time.sleep(1)
            camera.stop()
            time.sleep(0.2)
            camera.start()
            wait_until(lambda: len(camera.requests) > 1)
            time.sleep(1)
        last = pull(server, f"{camera.url}/bare", *"--session mjpeg --stream bare --fps 5 --duration 1.5".split())
    found = records(server, "mjpeg", "cam")
    came = numbers_of(contents(server, found))
    assert len(came) == len(found) > FPS
    assert came == sorted(set(came))
    assert gaps(came) == 1
    assert re.search(r"complete: \d+ pictures came in \d\.\d s; [6-9] frames sent", last), last


def test_mpeg_ts_over_http_is_passed_through_and_goes_on_after_a_break(server: str) -> None:
    live = LiveCamera(FPS)
    with (
        HttpCamera({"/live.ts": live.live}) as camera,
        pulling_here(server, f"{camera.url}/live.ts", "ts", "cam") as said,
    ):
        wait_until(lambda: "passed through as video" in str(said))
        time.sleep(1)
        camera.stop()
        time.sleep(0.2)
        camera.start()
        wait_until(lambda: len(camera.requests) > 1)
        time.sleep(2.5)
    came = numbers(server, "ts", "cam")
    assert came == sorted(set(came))
    assert gaps(came) == 1


@pytest.mark.soak
def test_hls_that_goes_on_is_read_at_its_pace_and_loses_and_doubles_nothing_over_a_break(server: str) -> None:
    live = LiveCamera(FPS, kept=30)
    live._began_s -= 5  # it has some segments already
    with (
        HttpCamera(live.segments(), live.segment) as camera,
        pulling_here(server, f"{camera.url}/hls/live.m3u8", "hls", "cam", timeout_s=2) as said,
    ):
        wait_until(lambda: "passed through as video" in str(said))
        time.sleep(1)
        camera.stop()
        wait_until(lambda: "trying again" in str(said))
        time.sleep(2)
        asked = len(camera.requests)
        camera.start()
        wait_until(lambda: len(camera.requests) > asked + 3)
        time.sleep(1.5)
    assert "reconnected" in str(said)
    came = numbers(server, "hls", "cam")
    assert came == list(range(came[0], came[0] + len(came))), str(said)
    assert len(came) > 2 * FPS
    found = records(server, "hls", "cam")
    spread_s = [(int(record["t_ns"]) - int(found[0]["t_ns"])) / S for record in found]
    assert spread_s[-1] < (len(came)) / FPS


def test_a_file_over_http_is_read_by_ranges_and_resumed_where_it_broke(server: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(video_file(seconds=6, fps=FPS, gop=FPS, size=(320, 240)))
    data = path.read_bytes()
    whole = answer(data, content_type="video/mp4", ranges=True)
    broken: list[int] = []

    def breaks_once(talk: Conversation) -> None:
        if len(broken) < 2:
            broken.append(1)
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nAccept-Ranges: bytes\r\n")
            talk.send(f"Content-Length: {len(data)}\r\n\r\n".encode() + data[: len(data) // 2])
        else:
            whole(talk)

    fragments = video_file(seconds=6, fps=FPS, gop=FPS, size=(320, 240), movflags="frag_keyframe+empty_moov")
    paths = {"/film.mp4": whole, "/broken.mp4": breaks_once, "/plain": answer(fragments, content_type="video/mp4")}
    with HttpCamera(paths) as camera:
        said = pull(server, f"{camera.url}/plain", *"--session film --stream plain --duration 2 --frames".split())
        assert "20 frames sent" in said
        said = pull(server, f"{camera.url}/film.mp4", *"--session film --stream whole --time 1700000000".split())
        assert "complete: 120 pictures came" in said
        data = fragments
        whole = answer(data, content_type="video/mp4", ranges=True)
        said = pull(server, f"{camera.url}/broken.mp4", *"--session film --stream broken --time 1700000000".split())
        assert "trying again" in said
    for stream in ("whole", "broken"):
        found = records(server, "film", stream)
        assert sum(record["metadata"]["frames"] for record in found) == 120, stream
        assert [int(record["t_ns"]) for record in found] == sorted(int(record["t_ns"]) for record in found)
    assert int(records(server, "film", "whole")[0]["t_ns"]) == 1_700_000_000 * S


def test_digest_and_basic_passwords_are_sent_and_never_shown(server: str) -> None:
    picture = jpegs(1)[0]

    def asks(scheme: str) -> object:
        camera = mjpeg([picture], fps=FPS)

        def give(talk: Conversation) -> None:
            if talk.field("Authorization").startswith(scheme.split(" ", maxsplit=1)[0]):
                camera(talk)
            else:
                answer(b"", status="401 Unauthorized", more=f"WWW-Authenticate: {scheme}\r\n")(talk)

        return give

    paths = {"/basic": asks('Basic realm="x"'), "/digest": asks('Digest realm="x", nonce="abc", qop="auth"')}
    with HttpCamera(paths) as camera:  # type: ignore[arg-type]
        for path in paths:
            source = f"http://keeper:s3same@127.0.0.1:{camera.port}{path}?token=t0ken"
            said = pull(server, source, *f"--session secret --stream {path[1:]} --duration 1".split())
            assert "frames sent" in said
            assert "http://***@127.0.0.1" in said
            assert not re.search("keeper|s3same|t0ken", said), said
        said = pull(server, f"{camera.url}/basic", *"--session secret --stream none".split(), status=1)
        assert "wants a user and password (401)" in said


def test_frames_are_due_by_their_own_times(server: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(video_file(seconds=3, fps=25, gop=25))
    pull(server, path, *"--session due --stream cam --frames --fps 10 --time 1700000000 --quality 95".split())
    found = records(server, "due", "cam")
    assert len(found) == 30
    apart = np.diff([int(record["t_ns"]) for record in found])
    assert set(apart) == {80_000_000, 120_000_000}  # 10 a second on average, each a frame that is there
    image = Image.open(io.BytesIO(contents(server, found[:1])[0]))
    assert (image.size, image.format) == ((96, 64), "JPEG")
