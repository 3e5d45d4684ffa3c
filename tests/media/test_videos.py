"""Videos end to end: sent, kept, their thumbnails and their preview made, played as HLS."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from support.hls import Playlist, read_playlist, times_of
from support.media_samples import annexb, fragments, sound_file, video_file
from support.raw_robot import T0, RawRobot

from datamanager.config import Config
from datamanager.storage.keys import record_id
from datamanager.storage.mongo import open_mongo

pytestmark = pytest.mark.usefixtures("worker")
S = 1_000_000_000


@pytest.fixture
async def http(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as client:
        yield client


async def send(
    server: str, session: str, payloads: list[dict[str, Any]], *, step_ns: int = 10 * S, bye: bool = True
) -> list[str]:
    async with RawRobot(server, session) as robot:
        await robot.hello()
        for seq, payload in enumerate(payloads):
            await robot.send(seq, payload, data_type="video", stream="cam", t_ns=T0 + seq * step_ns)
        await robot.until(lambda: robot.acked.get("cam") == len(payloads) - 1 or robot.rejects)
        assert not robot.rejects
        if bye:
            await robot.put({"type": "bye"})
            await robot.closed()
    return [record_id("raw", session, "cam", "p", seq) for seq in range(len(payloads))]


async def get(http: httpx.AsyncClient, path: str, **params: Any) -> httpx.Response:
    """Asks until it is made."""
    for _ in range(60):
        answer = await http.get(path, params=params)
        if answer.status_code != 202:
            return answer
        assert answer.headers["retry-after"] == "1"
        await asyncio.sleep(0.25)
    raise AssertionError(f"{path} is never made")


async def whole_playlist(http: httpx.AsyncClient, session: str, **params: Any) -> Playlist:
    """Asks until all of it is made."""
    for _ in range(100):
        answer = await get(http, f"/api/v1/sessions/raw/{session}/playlist.m3u8", **params)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/vnd.apple.mpegurl")
        playlist = read_playlist(answer.text)
        if playlist.is_ended:
            return playlist
        await asyncio.sleep(0.25)
    raise AssertionError("the playlist never ends")


def play(playlist: Playlist) -> list[dict[str, list[float]]]:
    with httpx.Client(trust_env=False, timeout=30) as http:
        return [times_of(http, part) for part in playlist.parts]


async def test_a_video_is_kept_and_shown_by_its_keyframes(server: str, http: httpx.AsyncClient) -> None:
    data = video_file(seconds=3, fps=10, gop=10, sound="aac")
    (video,) = await send(server, "video-one", [{"data": data, "name": "a.mp4"}])
    whole = (await http.get(f"/api/v1/records/{video}")).json()
    expected = {"format": "mp4", "codec": "avc1", "width": 96, "height": 64, "fps": 10.0, "frames": 30, "keyframes": 3}
    assert {name: whole["metadata"][name] for name in expected} == expected
    assert whole["metadata"]["audio_codec"] == "mp4a"
    content = await http.get(f"/api/v1/records/{video}/content", follow_redirects=True)
    assert hashlib.sha256(content.content).hexdigest() == whole["checksum"] == hashlib.sha256(data).hexdigest()

    answer = await get(http, f"/api/v1/records/{video}/thumbnails")
    items = answer.json()["items"]
    assert [item["offset_s"] for item in items] == [0.0, 1.0, 2.0]
    assert [int(item["t_ns"]) for item in items] == [T0, T0 + S, T0 + 2 * S]
    brightness = []
    for item in items:
        small = await http.get(item["url"])
        assert small.headers["content-type"] == "image/jpeg"
        again = await http.get(item["url"], headers={"If-None-Match": small.headers["etag"]})
        assert again.status_code == 304
        with Image.open(io.BytesIO(small.content)) as image:
            assert (image.width <= 120, image.height <= 68) == (True, True)
            brightness.append(float(np.asarray(image)[:4, 60:80, 1].mean()))
    assert brightness == sorted(brightness)
    assert brightness[2] - brightness[0] > 30
    own = await http.get(whole["urls"]["thumbnail"])
    assert own.content == (await http.get(items[0]["url"])).content
    assert (await http.get(f"/api/v1/frames/{video}/preview")).status_code == 422
    assert (await http.get(f"/api/v1/records/{video}/thumbnails/3")).status_code == 404


async def test_two_videos_play_one_after_the_other(server: str, http: httpx.AsyncClient) -> None:
    first = video_file(seconds=9, fps=10, gop=30, sound="aac")
    second = video_file("matroska", "mpeg4", seconds=2, fps=25)
    await send(server, "video-two", [{"data": first}, {"data": second}], step_ns=20 * S)
    playlist = await whole_playlist(http, "video-two")
    assert playlist.tags["#EXT-X-PLAYLIST-TYPE"] == "VOD"
    assert [part.moment for part in playlist.parts] == ["2023-11-14T22:13:20.000Z", "2023-11-14T22:13:40.000Z"]
    assert [len(part.segments) for part in playlist.parts] == [3, 1]
    assert abs(playlist.duration_s - 11) < 0.1
    one, two = play(playlist)
    assert np.allclose(one["video"], np.arange(90) / 10, atol=1e-4)
    assert np.allclose(np.diff(one["audio"]), 1024 / 48_000, atol=1e-4)
    assert abs(one["audio"][-1] - 9) < 0.1
    assert np.allclose(two["video"], np.arange(50) / 25, atol=1e-4)

    part = await whole_playlist(http, "video-two", start=str(T0 + 5 * S), end=str(T0 + 7 * S))
    assert [seconds for seconds, _ in part.parts[0].segments] == [4.0]
    assert part.parts[0].moment == "2023-11-14T22:13:24.000Z"


async def test_a_session_that_goes_on_is_played_from_its_beginning(
    server: str, server_config: Config, http: httpx.AsyncClient
) -> None:
    (video,) = await send(server, "video-open", [{"data": video_file(seconds=1)}], bye=False)
    address = "/api/v1/sessions/raw/video-open/playlist.m3u8"
    playlist = read_playlist((await get(http, address)).text)
    assert (playlist.is_ended, playlist.tags["#EXT-X-PLAYLIST-TYPE"]) == (False, "EVENT")
    assert playlist.tags["#EXT-X-START"] == "TIME-OFFSET=0"
    over = await whole_playlist(http, "video-open", end=str(T0 + 100 * S))  # long ago: nothing more comes
    assert over.duration_s == 1
    async with open_mongo(server_config.mongo) as mongo:
        earlier = {"$inc": {"arrived_ns": -31 * S}}
        await mongo.durable("frames_metadata").update_one({"_id": video}, earlier)
    assert (await whole_playlist(http, "video-open")).duration_s == 1, "a file that was brought is no live stream"


async def test_chunks_of_h264_are_one_stream_that_is_not_encoded_anew(server: str, http: httpx.AsyncClient) -> None:
    chunks = [annexb(10, first=10 * n) for n in range(4)]
    await send(server, "video-live", [{"data": c, "fps": 10} for c in chunks[:2]], step_ns=S, bye=False)
    for _ in range(100):
        answer = await get(http, "/api/v1/sessions/raw/video-live/playlist.m3u8", stream="cam")
        early = read_playlist(answer.text)
        if sum(len(part.segments) for part in early.parts) == 2:
            break
        await asyncio.sleep(0.1)
    assert not early.is_ended
    assert early.tags["#EXT-X-PLAYLIST-TYPE"] == "EVENT"
    assert "#EXT-X-START" not in early.tags

    async with RawRobot(server, "video-live") as robot:
        await robot.hello()
        for seq in (2, 3):
            payload = {"data": chunks[seq], "fps": 10}
            await robot.send(seq, payload, data_type="video", stream="cam", t_ns=T0 + seq * S)
        await robot.put({"type": "bye"})
        await robot.closed()
    playlist = await whole_playlist(http, "video-live")
    assert len(playlist.parts) == 1, "chunks that follow each other are no discontinuity"
    assert len(playlist.parts[0].segments) == 4
    (times,) = play(playlist)
    assert np.allclose(np.array(times["video"]) - times["video"][0], np.arange(40) / 10, atol=1e-3)
    segment = (await http.get(playlist.parts[0].segments[0][1])).content
    slices = [unit for unit in chunks[0].split(b"\0\0\1") if unit and unit[0] & 31 in (1, 5)]
    assert all(unit.rstrip(b"\0") in segment for unit in slices), "the robot's own pictures, untouched"


async def test_chunks_without_parameters_take_those_that_came_before(server: str, http: httpx.AsyncClient) -> None:
    whole = annexb(20, gop=10)
    units = [b"\0\0\0\1" + unit.rstrip(b"\0") for unit in whole.split(b"\0\0\1") if unit.strip(b"\0")]
    parameters = b"".join(u for u in units if u[4] & 31 in (7, 8))
    slices = b"".join(u for u in units if u[4] & 31 in (1, 5))
    await send(server, "video-bare", [{"data": parameters[: len(parameters) // 2]}, {"data": slices}], step_ns=S)
    playlist = await whole_playlist(http, "video-bare")
    (times,) = play(playlist)
    assert len(times["video"]) == 20


async def test_fragments_of_mp4_are_played_as_they_came(server: str, http: httpx.AsyncClient) -> None:
    pieces = fragments(4)
    assert len(pieces) == 5
    await send(server, "video-fragments", [{"data": piece} for piece in pieces], step_ns=S)
    playlist = await whole_playlist(http, "video-fragments")
    assert [round(s, 3) for part in playlist.parts for s, _ in part.segments] == [1.0] * 4
    assert len(playlist.parts) == 1
    (times,) = play(playlist)
    assert np.allclose(times["video"], np.arange(40) / 10, atol=1e-3)


async def test_a_broken_video_says_why_and_costs_nobody_else(server: str, http: httpx.AsyncClient) -> None:
    broken = bytearray(video_file(seconds=1))
    start = bytes(broken).index(b"mdat") + 4
    size = int.from_bytes(broken[start - 8 : start - 4]) - 8
    broken[start : start + size] = bytes(size)
    bad, _ = await send(server, "video-broken", [{"data": bytes(broken)}, {"data": video_file(seconds=1)}])
    playlist = await whole_playlist(http, "video-broken")
    assert [len(part.segments) for part in playlist.parts] == [1]
    answer = await get(http, f"/api/v1/records/{bad}/thumbnails")
    assert (answer.status_code, answer.json()["code"]) == (422, "not_derivable")
    assert (await http.get(f"/api/v1/records/{bad}/content", follow_redirects=True)).content == bytes(broken)


async def test_what_is_no_video_is_refused_by_name(server: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    cases = [
        (picture.getvalue(), "kind_mismatch", "PNG"),
        (sound_file("ipod", "aac"), "kind_mismatch", "audio"),
        (sound_file("wav", "pcm_s16le"), "kind_mismatch", "WAV"),
        (video_file()[:-40], "bad_payload", "byte"),
        (b"", "bad_payload", "empty"),
    ]
    async with RawRobot(server, "video-refused") as robot:
        await robot.hello()
        for seq, (data, code, word) in enumerate(cases):
            await robot.send(seq, {"data": data}, data_type="video", stream="cam")
            await robot.until(lambda wanted=seq + 1: len(robot.rejects) == wanted)
            assert robot.rejects[-1]["code"] == code
            assert word in robot.rejects[-1]["detail"], robot.rejects[-1]
            assert robot.rejects[-1]["detail"].startswith("video: ")


async def test_playlists_of_nothing(server: str, http: httpx.AsyncClient) -> None:
    await send(server, "video-nothing", [{"data": video_file(seconds=1)}])
    address = "/api/v1/sessions/raw/video-nothing/playlist.m3u8"
    assert (await http.get("/api/v1/sessions/raw/none/playlist.m3u8")).status_code == 404
    assert (await http.get(address, params={"stream": "other"})).status_code == 404
    assert (await http.get(address, params={"start": "5", "end": "3"})).status_code == 400
    far = await get(http, address, start=str(T0 + 3600 * S))
    assert far.status_code == 404


def test_pyav_has_what_previews_are_made_with() -> None:
    assert {"libx264", "aac", "libopus"} <= av.codec.codecs_available
