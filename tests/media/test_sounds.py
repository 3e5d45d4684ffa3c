"""Sounds end to end: sent, kept, their waveform and preview made and given."""

import asyncio
import base64
import hashlib
import io
from typing import Any

import av
import httpx
import numpy as np
import pytest
from support.media_samples import sound_file, tone, wav
from support.raw_robot import RawRobot

from datamanager.storage.keys import record_id

pytestmark = pytest.mark.usefixtures("worker")


async def send(server: str, session: str, payloads: list[dict[str, Any]]) -> list[str]:
    async with RawRobot(server, session) as robot:
        await robot.hello()
        for seq, payload in enumerate(payloads):
            await robot.send(seq, payload, data_type="audio", stream="mic")
        await robot.until(lambda: robot.acked.get("mic") == len(payloads) - 1 or robot.rejects)
        assert not robot.rejects
    return [record_id("raw", session, "mic", "p", seq) for seq in range(len(payloads))]


async def get(http: httpx.AsyncClient, path: str, **params: Any) -> httpx.Response:
    """Asks until it is made."""
    for _ in range(40):
        answer = await http.get(path, params=params)
        if answer.status_code != 202:
            return answer
        assert answer.headers["retry-after"] == "1"
        await asyncio.sleep(0.25)
    raise AssertionError(f"{path} is never made")


async def test_a_wav_is_kept_and_its_waveform_and_preview_are_made(server: str) -> None:
    data = wav(1.5, channels=2)
    (record,) = await send(server, "sound-wav", [{"data": data, "name": "a.wav"}])
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        whole = (await http.get(f"/api/v1/records/{record}")).json()
        assert whole["metadata"]["duration_s"] == 1.5
        assert whole["metadata"]["codec"] == "pcm"
        assert whole["mime_type"] == "audio/wav"
        assert whole["urls"]["preview"] is not None
        content = await http.get(f"/api/v1/records/{record}/content", follow_redirects=True)
        assert hashlib.sha256(content.content).hexdigest() == whole["checksum"] == hashlib.sha256(data).hexdigest()

        answer = await get(http, f"/api/v1/records/{record}/waveform", buckets=30)
        shape = answer.json()
        assert (shape["sample_rate"], shape["channels"], shape["duration_s"]) == (16_000, 2, 1.5)
        assert len(shape["min"]) == len(shape["max"]) == 30
        expected = np.abs(tone(1.5)[0]).reshape(30, -1).max(axis=1) / 32767
        assert np.abs(np.array(shape["max"]) - expected).max() < 0.02

        answer = await get(http, f"/api/v1/records/{record}/preview")
        assert answer.status_code == 307
        preview = await http.get(answer.headers["location"])
        assert preview.headers["content-type"] == "audio/ogg"
        with av.open(io.BytesIO(preview.content)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.name in ("opus", "libopus")
            samples = sum(frame.samples for frame in container.decode(stream))
        assert abs(samples / 48_000 - 1.5) < 0.05


async def test_every_format_of_sound_has_a_waveform(server: str) -> None:
    files = {
        "mp3": sound_file("mp3", "libmp3lame"),
        "flac": sound_file("flac", "flac"),
        "opus": sound_file("ogg", "libopus"),
        "m4a": sound_file("ipod", "aac"),
        "weba": sound_file("webm", "libopus"),
    }
    records = await send(server, "sound-formats", [{"data": data} for data in files.values()])
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        for name, record in zip(files, records, strict=True):
            shape = (await get(http, f"/api/v1/records/{record}/waveform", buckets=10)).json()
            assert abs(shape["duration_s"] - 0.5) < 0.1, name
            assert 0.3 < max(shape["max"]) < 0.7, name


async def test_chunks_of_raw_samples_are_records_of_a_stream(server: str) -> None:
    samples = tone(1.0)[0].tobytes()
    form = {"format": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    chunks = [{"data": base64.b64encode(samples[at : at + 8000]).decode(), **form} for at in range(0, 32_000, 8000)]
    records = await send(server, "sound-pcm", chunks)
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        got = b"".join([(await http.get(f"/api/v1/records/{r}/content")).content for r in records])
        assert got == samples
        shape = (await get(http, f"/api/v1/records/{records[3]}/waveform")).json()
        assert shape["duration_s"] == 0.25


async def test_what_cannot_be_decoded_says_so_and_costs_nobody_else(server: str) -> None:
    hollow = bytearray(wav())
    hollow[20:22] = b"\x34\x12"  # a codec that nobody knows
    bad, good = await send(server, "sound-broken", [{"data": bytes(hollow)}, {"data": wav()}])
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        answer = await get(http, f"/api/v1/records/{bad}/waveform")
        assert (answer.status_code, answer.json()["code"]) == (422, "not_derivable")
        whole = (await http.get(f"/api/v1/records/{bad}/content")).content
        assert whole == bytes(hollow)
        assert (await get(http, f"/api/v1/records/{good}/waveform")).status_code == 200


async def test_what_is_asked_for_wrongly_is_refused(server: str) -> None:
    (record,) = await send(server, "sound-wrong", [{"data": wav()}])
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        path = f"/api/v1/records/{record}/waveform"
        for buckets in ("0", "8193", "x", "-1", "1e3"):
            assert (await http.get(path, params={"buckets": buckets})).status_code == 400
        assert (await http.get("/api/v1/records/none/waveform")).status_code == 404
        async with RawRobot(server, "sound-wrong") as robot:
            await robot.hello()
            await robot.send(0, {"data": b"x"}, data_type="file", stream="f")
            await robot.until(lambda: robot.acked.get("f") == 0)
        other = record_id("raw", "sound-wrong", "f", "p", 0)
        answer = await http.get(f"/api/v1/records/{other}/preview")
        assert (answer.status_code, answer.json()["code"]) == (400, "kind_mismatch")
