"""Sources that are none, or mean harm: one line that names what is wrong, no trace, no hang, no password."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.http_camera import Conversation, HttpCamera, answer
from support.media_samples import annexb, sound_file, video_file
from support.processes import wait_until
from support.pulling import pull, pulling, pulling_here, records
from support.rtsp_server import RtspServer, access_units

WHERE = "--session hostile --stream cam".split()
SOON = [*WHERE, *"--timeout 0.7 --give-up-after 1".split()]


def endless(start: bytes, more: bytes) -> "object":
    """One that never stops sending."""

    def give(talk: Conversation) -> None:
        talk.send(start)
        while not talk.stopped.is_set():
            talk.send(more)

    return give


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        kept: list[socket.socket] = []

        def accept() -> None:
            listener.settimeout(0.1)
            while not stop.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()
        for sock in kept:
            sock.close()


@pytest.fixture(scope="module")
def web() -> Iterator[HttpCamera]:
    ok = b"HTTP/1.1 200 OK\r\n"
    parts = ok + b"Content-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"
    paths = {
        "/page": answer(b"<!DOCTYPE html><p>camera</p>", content_type="text/html"),
        "/empty": answer(b"", content_type="video/mp4"),
        "/garbage": answer(bytes(range(1, 200)) * 500, content_type="video/mp4"),
        "/headers": endless(ok, b"X-More: " + b"x" * 1000 + b"\r\n"),
        "/parts": endless(parts, b"no boundary anywhere " * 100),
        "/part": endless(parts + b"--x\r\n\r\n", b"\xff\xd8" + b"a" * 100_000),
        "/announced": answer(b"--x\r\nContent-Length: 9999999999\r\n\r\n", content_type="multipart/mixed; boundary=x"),
        "/noise": endless(ok + b"Content-Type: video/mp2t\r\n\r\n", b"\x13\x37" * 20_000),
        "/gone": answer(b"", status="404 Not Found"),
        "/down": answer(b"", status="503 Service Unavailable"),
        "/round": answer(b"", status="302 Found", more="Location: /round\r\n"),
        "/file.m3u8": answer(
            b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
            content_type="application/vnd.apple.mpegurl",
        ),
        "/endless.m3u8": endless(ok + b"\r\n#EXTM3U\n", b"#EXTINF:1,\nx.ts\n" * 1000),
        "/sound.mp3": answer(sound_file("mp3", "mp3"), content_type="audio/mpeg"),
        "/vp9.webm": answer(video_file("webm", "libvpx", seconds=0.5), content_type="video/webm"),
    }
    with HttpCamera(paths) as camera:  # type: ignore[arg-type]
        yield camera


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("page", "it is an HTML page, no video"),
        ("empty", "it is empty: 0 bytes"),
        ("garbage", "it sends no video that can be read"),
        ("headers", "it does not speak HTTP as it should"),
        ("parts", "no boundary where one should be"),
        ("announced", "it announces a picture of 9999999999 bytes"),
        ("noise", "it sends no|it sends nothing"),
        ("gone", "nothing at that path (404)"),
        ("down", "the server answers 503"),
        ("round", "it redirects again and again"),
        ("file.m3u8", "it sends no video|not permitted|Invalid|no track"),
        ("endless.m3u8", "says nothing|no video|no track"),
        ("sound.mp3", "it has sound only"),
    ],
)
def test_what_is_no_source_is_named(server: str, web: HttpCamera, path: str, said: str) -> None:
    began_s = time.monotonic()
    lines = pull(server, f"{web.url}/{path}", *SOON, status=1)
    last = lines.strip().splitlines()[-1]
    assert last.startswith(f"datamanager: {web.url}/{path}: ")
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), last), lines
    assert time.monotonic() - began_s < 15


def test_a_server_that_says_nothing_hangs_nobody(server: str) -> None:
    with silent() as port:
        for scheme in ("http", "rtsp"):
            began_s = time.monotonic()
            lines = pull(server, f"{scheme}://me:secret99@127.0.0.1:{port}/", *SOON, status=1)
            assert "given up after" in lines
            assert "it says nothing for 0.7 s" in lines
            assert "secret99" not in lines
            assert time.monotonic() - began_s < 10


def test_what_cannot_be_reached_is_named(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    lines = pull(server, f"rtsp://127.0.0.1:{port}/", *SOON, status=1)
    assert "the connection is refused" in lines
    for scheme in ("http", "rtsp"):
        lines = pull(server, f"{scheme}://no-such-host.invalid/cam", *SOON, status=1)
        assert "the host name 'no-such-host.invalid' is not known" in lines


def test_wrong_options_and_addresses_stop_it(server: str, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"")
    assert "is not there" in pull(server, tmp_path / "none.mp4", *WHERE, status=2)
    assert "ftp:// is not known" in pull(server, "ftp://a/b", *WHERE, status=2)
    assert "names no host" in pull(server, "rtsp:///cam", *WHERE, status=2)
    lines = pull(server, "rtsp://admin:pa/ss@host/cam", *WHERE, status=2)
    assert "must be written as %2F" in lines
    assert "pa/ss" not in lines
    assert "--fps must be from" in pull(server, film, *WHERE, *"--fps 0".split(), status=2)
    assert "is no time" in pull(server, film, *WHERE, *"--time noon".split(), status=2)
    assert "with --passthrough none are" in pull(server, film, *WHERE, *"--passthrough --adaptive".split(), status=2)
    assert "it is empty: 0 bytes" in pull(server, film, *WHERE, status=1)


def test_another_codec_comes_as_frames_or_is_named(server: str, tmp_path: Path) -> None:
    film = tmp_path / "film.webm"
    film.write_bytes(video_file("webm", "libvpx", seconds=1))
    assert "it sends vp8: only h264 is passed through" in pull(server, film, *WHERE, "--passthrough", status=1)
    pull(server, film, *"--session hostile --stream vp8 --fps 5".split())
    assert [record["kind"] for record in records(server, "hostile", "vp8")] == ["images"] * 5


def test_a_resolution_that_changes_begins_another_chunk(server: str) -> None:
    small, large = annexb(6, fps=20, gop=20), annexb(20, fps=20, gop=20, size=(160, 128))
    with (
        RtspServer([*access_units(small), *access_units(large)], fps=20) as rtsp,
        pulling_here(server, rtsp.url, "hostile", "sizes", want="both", fps=100),
    ):
        wait_until(lambda: rtsp.sent > 60)
    found = records(server, "hostile", "sizes")
    assert {(r["metadata"]["width"], r["metadata"]["height"]) for r in found} == {(96, 64), (160, 128)}
    assert all(record["metadata"]["parameter_sets"] for record in found)
    frames = records(server, "hostile", "sizes/frames")
    assert {(r["metadata"]["width"], r["metadata"]["height"]) for r in frames} == {(96, 64), (160, 128)}


def test_memory_stays_bounded_while_garbage_comes_without_an_end(server: str, web: HttpCamera, tmp_path: Path) -> None:
    log = tmp_path / "pull.log"
    with pulling(server, f"{web.url}/noise", *WHERE, *"--timeout 3".split(), log=log) as process:
        most = 0
        until_s = time.monotonic() + 3
        while time.monotonic() < until_s and process.poll() is None:
            most = max(most, psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.1)
    assert most < 300e6
