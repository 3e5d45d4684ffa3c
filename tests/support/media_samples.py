"""Small sounds and videos, made by the encoders that are here: what golden files and tests are made of."""

import io
import struct
import wave
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

__all__ = ["annexb", "chunk", "fragments", "picture_at", "sound_file", "tone", "video_file", "wav"]

RATE = 16_000


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> npt.NDArray[np.int16]:
    """A tone that grows from nothing to half of full scale: shape (channels, samples)."""
    t = np.arange(int(seconds * rate)) / rate
    one = np.sin(2 * np.pi * 440 * t) * t / max(seconds, 1e-9) / 2
    return np.repeat((one * 32767).astype(np.int16)[None], channels, axis=0)


def wav(seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file of 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(tone(seconds, rate, channels).T.tobytes())
    return file.getvalue()


def sound_file(form: str, codec: str, seconds: float = 0.5, rate: int = 48_000, **options: str) -> bytes:
    """A sound in any container and codec."""
    file = io.BytesIO()
    with av.open(file, "w", format=form, options=options) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        _put_sound(out, stream, seconds, rate)
    return file.getvalue()


def picture_at(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A picture whose brightness tells its number, with a bar that moves."""
    picture = np.full((height, width, 3), 16 + number * 3 % 200, np.uint8)
    at = number * 4 % width
    picture[:, at : at + 8] = (255, 40, 40)
    return picture


def video_file(
    form: str = "mp4",
    codec: str = "libx264",
    *,
    seconds: float = 1.0,
    fps: int = 10,
    size: tuple[int, int] = (96, 64),
    gop: int = 5,
    sound: str | None = None,
    **options: str,
) -> bytes:
    """A video in any container and codec, with sound when its codec is named."""
    file = io.BytesIO()
    with av.open(file, "w", format=form, options=options) as out:
        stream: Any = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if codec == "libx264":
            stream.codec_context.options = {"preset": "ultrafast", "bf": "0", "sc_threshold": "0"}
        audio: Any = out.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number in range(int(seconds * fps)):
            frame = VideoFrame.from_ndarray(picture_at(number, *size), "rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        if audio is not None:
            _put_sound(out, audio, seconds, 48_000)
        out.mux(stream.encode(None))
    return file.getvalue()


def annexb(count: int = 10, *, fps: int = 10, size: tuple[int, int] = (96, 64), gop: int = 10, first: int = 0) -> bytes:
    """A stream of H.264 with start codes that begins with its parameters and a keyframe."""
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as out:
        stream: Any = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1"}
        for number in range(first, first + count):
            frame = VideoFrame.from_ndarray(picture_at(number, *size), "rgb24")
            frame.pts = number - first
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def fragments(seconds: float = 2.0) -> list[bytes]:
    """A video in fragments of a second each: the head of the stream, then the fragments."""
    data = video_file(seconds=seconds, gop=10, movflags="frag_keyframe+empty_moov+default_base_moof")
    pieces, at = [b""], 0
    while data[at + 4 : at + 8] not in (b"mfra", b""):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"moof":
            pieces.append(b"")
        pieces[-1] += data[at : at + size]
        at += size
    return pieces


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of RIFF."""
    return struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) % 2)


def _put_sound(out: Any, stream: Any, seconds: float, rate: int) -> None:
    sound = tone(seconds, rate)
    for at in range(0, sound.shape[1], 1024):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, at : at + 1024]), "s16", "mono")
        frame.sample_rate, frame.pts = rate, at
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
