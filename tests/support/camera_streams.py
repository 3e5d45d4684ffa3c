"""A camera of H.264 as MPEG-TS over HTTP, live or in segments of HLS; its pictures bear their numbers."""

import io
import re
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from support.http_camera import Answer, Conversation, answer
from support.media_samples import annexb
from support.rtsp_server import access_units, numbered

__all__ = ["GOP", "LiveCamera"]

GOP = 10
_CLOCK = 90_000
_SEGMENT = 20  # pictures


class _Socket:
    """What a muxer writes to; once the viewer is gone it leads nowhere."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self.is_gone = False

    def write(self, data: bytes) -> None:
        try:
            self._talk.send(data)
        except OSError:
            self.is_gone = True


class LiveCamera:
    """Goes on from when it is made, whoever looks.

    Args:
        fps: how fast.
        kept: so many segments a playlist names.
    """

    def __init__(self, fps: int = 20, kept: int = 4) -> None:
        self.fps = fps
        self._kept = kept
        self._pictures = access_units(annexb(10 * _SEGMENT, fps=fps, gop=GOP))
        self._began_s = time.monotonic()

    @property
    def at(self) -> int:
        """The number of the last picture."""
        return int((time.monotonic() - self._began_s) * self.fps)

    def transport_stream(self, first: int, count: int) -> bytes:
        """Some of its pictures."""
        file = io.BytesIO()
        with av.open(file, "w", format="mpegts") as out:
            stream = self._add(out)
            for number in range(first, first + count):
                out.mux_one(self._packet(stream, number))
        return file.getvalue()

    def live(self, talk: Conversation) -> None:
        """MPEG-TS without an end, from where it is."""
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        number = self.at + 1
        sink = _Socket(talk)
        with av.open(sink, "w", format="mpegts", options={"flush_packets": "1", "muxdelay": "0"}) as out:
            stream = self._add(out)
            while not talk.stopped.wait(max(0.0, self._began_s + number / self.fps - time.monotonic())):
                out.mux_one(self._packet(stream, number))
                number += 1
                if sink.is_gone:
                    return

    def segments(self) -> dict[str, Answer]:
        """HLS, live: the playlist, by path; its segments are asked of `segment`."""
        return {"/hls/live.m3u8": self._playlist}

    def segment(self, path: str) -> Answer | None:
        """The segment of a path."""
        found = re.fullmatch(r"/hls/(\d+)\.ts", path)
        if found is None:
            return None
        return answer(self.transport_stream(int(found[1]) * _SEGMENT, _SEGMENT), content_type="video/mp2t")

    def _playlist(self, talk: Conversation) -> None:
        whole = self.at // _SEGMENT
        first = max(0, whole - self._kept)
        seconds = _SEGMENT / self.fps
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{max(1, round(seconds))}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
        ]
        for number in range(first, whole):
            lines += [f"#EXTINF:{seconds:.3f},", f"{number}.ts"]
        answer("\n".join([*lines, ""]).encode(), content_type="application/vnd.apple.mpegurl")(talk)

    def _add(self, out: Any) -> Any:
        stream = out.add_stream("libx264", rate=self.fps)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        return stream

    def _packet(self, stream: Any, number: int) -> "av.Packet[Any]":
        units: Sequence[bytes] = numbered(self._pictures[number % len(self._pictures)], number)
        packet: av.Packet[Any] = av.Packet(b"".join(b"\0\0\0\1" + unit for unit in units))
        packet.pts = packet.dts = number * _CLOCK // self.fps
        packet.time_base, packet.stream = Fraction(1, _CLOCK), stream
        packet.is_keyframe = number % GOP == 0
        return packet
