"""Opening a source: what kind it turns out to be, and its pictures as they come, not decoded yet."""

import datetime as dt
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import av
import av.error
import av.logging
from av.container.input import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from datamanager.pull.address import Address
from datamanager.pull.failures import SourceEnded, SourceError, SourceSilent
from datamanager.pull.http_body import HttpBody, open_http
from datamanager.pull.multipart import MultipartReader, boundary_of
from datamanager.pull.settings import PullSettings

__all__ = ["Coded", "Source", "opened"]

Pace = Literal["live", "segments", "file"]

_S = 10**9
_READ_BYTES = 64 * 1024
_MOST_PIXELS = 64 * 1024 * 1024
_FORMATS = (  # none that leads to other files, and none that makes pictures of text
    "mov,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,ivf,h264,hevc,obu,m4v,mjpeg,mpjpeg,"
    "mp3,wav,flac,aac,rtsp,sdp,rtp,hls,webvtt"
)
_OVER_HTTP = "http,https,tcp,tls,crypto"
_OLDEST_NS = 631_152_000 * _S  # 1990: files of cameras that know no time say 1904 or 1970
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<svg")

# libav's words reach its errors by Python's logging, and nobody else: they may bear addresses with passwords.
_heard = logging.getLogger("libav")
_heard.addHandler(logging.NullHandler())
_heard.propagate = False


@dataclass(frozen=True, slots=True)
class Coded:
    """One picture, encoded.

    Attributes:
        pts_ns, dts_ns: by the source's clock, in nanoseconds from anywhere; None where it says none.
        is_key: whether it can be decoded by itself.
        is_broken: whether the transport knows that something of it is missing.
        packet: what a decoder takes; None for a JPEG.
    """

    data: bytes
    pts_ns: int | None
    dts_ns: int | None
    is_key: bool
    is_broken: bool = False
    packet: "Packet[VideoStream] | None" = None


class Source:
    """An open source.

    Attributes:
        pace: `live` sends as it sees, `segments` (live HLS) sends some seconds at once, `file` has an end.
        codec: as libav calls it.
        extradata: what its container says of the codec.
        stream: what decodes; None where pictures are JPEG as they come.
        created_ns: when it was recorded; None where it does not say.
    """

    def __init__(self, pace: Pace, codec: str, pictures: Iterator[Coded], stream: VideoStream | None = None) -> None:
        self.pace = pace
        self.codec = codec
        self.stream = stream
        self.extradata = None if stream is None else stream.codec_context.extradata
        self.created_ns: int | None = None
        self._pictures = pictures

    def pictures(self) -> Iterator[Coded]:
        """Its pictures; ends where a file does.

        Raises:
            SourceEnded: a live source ended the connection.
            SourceError, av.error.FFmpegError, httpx.HTTPError, OSError: it broke.
        """
        return self._pictures


@contextmanager
def opened(address: Address, settings: PullSettings, *, again: bool = False) -> Iterator[Source]:
    """Opens a source, and closes it.

    Args:
        address: where it is.
        settings: how it is read.
        again: whether it broke: then of live HLS all is read that is still there, else only the last two segments.

    Raises:
        SourceError: it has no pictures, or is refused.
        av.error.FFmpegError, httpx.HTTPError, OSError: it cannot be opened.
    """
    with ExitStack() as resources:
        if address.kind == "rtsp":
            yield _of_rtsp(address, settings, resources)
        elif address.kind == "http":
            yield _of_http(address, settings, resources, again=again)
        else:
            yield _of_file(address, settings, resources)


def _of_rtsp(address: Address, settings: PullSettings, resources: ExitStack) -> Source:
    micros = str(int(2 * settings.timeout_s * 1_000_000))  # ours comes first: it is told apart from other errors
    options = {"rtsp_transport": "udp" if settings.udp else "tcp", "timeout": micros, "analyzeduration": "1000000"}
    container = _open_av(address.text, options, settings, resources)
    return _of_container(container, "live", None)


def _of_http(address: Address, settings: PullSettings, resources: ExitStack, *, again: bool) -> Source:
    body = resources.enter_context(open_http(address, settings.timeout_s))
    boundary = boundary_of(body.content_type)
    if boundary is not None:
        return Source("live", "mjpeg", _jpegs(body, boundary))
    head = body.head()
    if not head:
        raise SourceError("it is empty: 0 bytes")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGES) or "text/html" in body.content_type.lower():
        raise SourceError("it is an HTML page, no video: the address of the stream itself is needed", passing=False)
    if start.startswith(b"#extm3u"):
        body.close()
        micros = str(int(settings.timeout_s * 1_000_000))
        # What a playlist names may be anywhere on the network, but never a file of this machine.
        options = {"protocol_whitelist": _OVER_HTTP, "rw_timeout": micros, "max_reload": "3"}
        options["live_start_index"] = "-1000" if again else "-2"
        container = _open_av(address.text, options, settings, resources)
        return _of_container(container, "segments" if container.duration is None else "file", None)
    container = _open_av(body, {"analyzeduration": "1000000"}, settings, resources)
    return _of_container(container, "live" if body.length is None else "file", body)


def _of_file(address: Address, settings: PullSettings, resources: ExitStack) -> Source:
    file = resources.enter_context(address.path.open("rb"))
    if not address.path.stat().st_size:
        raise SourceError("it is empty: 0 bytes", passing=False)
    source = _of_container(_open_av(file, {}, settings, resources), "file", None)
    source.created_ns = source.created_ns or address.path.stat().st_mtime_ns
    return source


def _open_av(
    file: str | BinaryIO | HttpBody, options: dict[str, str], settings: PullSettings, resources: ExitStack
) -> InputContainer:
    """Opens by libav, whose words are heard meanwhile: only what it says of an error, and nothing while it decodes."""
    timeout = (settings.timeout_s, settings.timeout_s)
    options = {"format_whitelist": _FORMATS, "max_pixels": str(_MOST_PIXELS), **options}
    began_s = time.monotonic()
    av.logging.set_level(av.logging.ERROR)
    try:
        container = av.open(file, "r", options=options, timeout=timeout, metadata_errors="replace")
    except av.error.InvalidDataError as error:
        if time.monotonic() - began_s < settings.timeout_s:
            raise
        # RTSP calls an answer invalid that it stopped waiting for.
        raise SourceSilent(f"it says nothing for {settings.timeout_s:g} s") from error
    except av.error.ArgumentError as error:  # a format that is not on the list is an argument that is wrong
        raise SourceError("it sends no video that can be read", passing=False) from error
    finally:
        av.logging.set_level(None)
    resources.callback(container.close)
    return container


def _of_container(container: InputContainer, pace: Pace, body: HttpBody | None) -> Source:
    best = container.streams.best("video")
    if not isinstance(best, VideoStream) or best.disposition & 0x400:  # a cover picture is no video
        kinds = {stream.type for stream in container.streams}
        found = "sound only" if "audio" in kinds else "no track of pictures"
        raise SourceError(f"it has {found}: there is nothing to pull", passing=False)
    for stream in container.streams:
        if stream is not best:
            stream.discard = type(stream.discard).all  # libav does not even fetch other qualities of HLS
    if best.codec_context is None:
        raise SourceError("its codec is not known here", passing=False)
    best.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
    source = Source(pace, best.codec_context.name, _packets(container, best, pace, body), best)
    source.created_ns = _created_ns(container)
    return source


def _packets(container: InputContainer, stream: VideoStream, pace: Pace, body: HttpBody | None) -> Iterator[Coded]:
    for packet in container.demux(stream):
        if packet.size:
            pts_ns, dts_ns = _ns(packet.pts, packet), _ns(packet.dts, packet)
            yield Coded(bytes(packet), pts_ns, dts_ns, packet.is_keyframe, packet.is_corrupt, packet)
            if body is not None:
                body.progressed()  # now: what the reader waited for is not the source's silence
    if pace != "file":
        raise SourceEnded("it ended the connection")


def _ns(ticks: int | None, packet: "Packet[Any]") -> int | None:
    base = packet.time_base
    return None if ticks is None or base is None else ticks * base.numerator * _S // base.denominator


def _jpegs(body: HttpBody, boundary: bytes) -> Iterator[Coded]:
    reader = MultipartReader(boundary)
    while data := body.read(_READ_BYTES):
        for picture in reader.feed(data):
            yield Coded(picture, None, None, is_key=True)
            body.progressed()
    raise SourceEnded("it ended the connection")


def _created_ns(container: InputContainer) -> int | None:
    said = container.metadata.get("creation_time", "")
    try:
        moment = dt.datetime.fromisoformat(said)
    except ValueError:
        return None
    t_ns = int(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()) * _S + moment.microsecond * 1000
    return t_ns if t_ns >= _OLDEST_NS else None
