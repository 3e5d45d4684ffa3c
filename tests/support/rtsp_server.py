"""A small real RTSP server (RFC 2326): H.264 of one camera, inside the RTSP connection (interleaved), for tests that need one that goes away.

It speaks OPTIONS, DESCRIBE, SETUP (interleaved TCP), PLAY, GET_PARAMETER and TEARDOWN, packs H.264 by RFC 6184 (single units and FU-A), and runs in a
thread of its own. Each picture bears its number, as text in an SEI. The camera goes on while nobody looks, like a real one: each viewer joins where it is.
"""

import base64
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from support.listening import Listening, read_head

from datamanager.kinds.media.annexb import begins_picture, nals

__all__ = ["RtspServer", "access_units", "numbered", "numbers_in"]

_PAYLOAD = 96
_MOST_RTP_BYTES = 1400
_CLOCK = 90_000


def access_units(stream: bytes) -> list[list[bytes]]:
    """The units of each picture of a stream with start codes."""
    pictures: list[list[bytes]] = []
    front: list[bytes] = []
    for nal in nals(stream):
        if begins_picture(nal):
            pictures.append([*front, nal.data])
            front = []
        elif nal.kind in {1, 2, 5}:
            pictures[-1].append(nal.data)
        else:
            front.append(nal.data)
    return pictures


class RtspServer(Listening):
    """Serves pictures at `rtsp://127.0.0.1:{port}/cam`; the same port again after `stop` and `start`.

    Args:
        pictures: the units of each, of which the first one's bring SPS and PPS; begun again at the end.
        fps: how fast.
        user: `user:password`, where one is asked for.
    """

    def __init__(self, pictures: Sequence[Sequence[bytes]], *, fps: float = 20.0, user: str | None = None) -> None:
        super().__init__()
        self._pictures = pictures
        self._fps = fps
        self._user = user
        self._began_s = time.monotonic()
        self.viewers = 0
        self.sent = 0

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def serve(self, sock: socket.socket, stopped: threading.Event) -> None:
        """Answers requests, and sends pictures from PLAY on."""
        lock = threading.Lock()
        rest = b""
        while not stopped.is_set():
            read = read_head(sock, rest, _without_rtcp)
            if read is None:
                return
            head, rest = read
            method, answer = self._answer(head)
            with lock:
                sock.sendall(answer)
            if method == "PLAY":
                self.viewers += 1
                self.begin(self._play, sock, lock, stopped)
            if method == "TEARDOWN":
                return

    def _answer(self, request: str) -> tuple[str, bytes]:
        method = request.split(" ", 1)[0]
        found = re.search(r"^CSeq:\s*(\d+)", request, re.MULTILINE | re.IGNORECASE)
        fields = {"CSeq": found[1] if found else "0"}
        body = ""
        status = "200 OK"
        if self._user is not None and base64.b64encode(self._user.encode()).decode() not in request:
            status, fields["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
        elif method == "OPTIONS":
            fields["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
        elif method == "DESCRIBE":
            body = self._sdp()
            fields |= {"Content-Type": "application/sdp", "Content-Base": f"{self.url}/"}
        elif method == "SETUP":
            fields |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "12345678;timeout=60"}
        else:
            fields["Session"] = "12345678"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return method, f"RTSP/1.0 {status}\r\n{lines}{length}\r\n{body}".encode()

    def _sdp(self) -> str:
        sets = [unit for unit in self._pictures[0] if unit[0] & 31 in {7, 8}]
        parameters = ",".join(base64.b64encode(unit).decode() for unit in sets)
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
            f"m=video 0 RTP/AVP {_PAYLOAD}\r\na=rtpmap:{_PAYLOAD} H264/{_CLOCK}\r\n"
            f"a=fmtp:{_PAYLOAD} packetization-mode=1;sprop-parameter-sets={parameters}\r\na=control:track1\r\n"
        )

    def _play(self, sock: socket.socket, lock: threading.Lock, stopped: threading.Event) -> None:
        number = random.randrange(1 << 16)  # noqa: S311  # no secret
        base = random.randrange(1 << 32)  # noqa: S311  # as above
        at = int((time.monotonic() - self._began_s) * self._fps) + 1
        with suppress(OSError):
            while not stopped.wait(max(0.0, self._began_s + at / self._fps - time.monotonic())):
                units = numbered(self._pictures[at % len(self._pictures)], at)
                stamp = (base + int(at / self._fps * _CLOCK)) % (1 << 32)
                packets = [payload for unit in units for payload in _payloads(unit)]
                data = b""
                for i, payload in enumerate(packets):
                    marker = 0x80 if i == len(packets) - 1 else 0
                    rtp = struct.pack(">BBHII", 0x80, marker | _PAYLOAD, number, stamp, 0x1234) + payload
                    data += struct.pack(">cBH", b"$", 0, len(rtp)) + rtp
                    number = (number + 1) % (1 << 16)
                with lock:
                    sock.sendall(data)
                self.sent += 1
                at += 1


def numbered(units: Sequence[bytes], number: int) -> list[bytes]:
    """A picture's units with its number before its first slice (ITU-T H.264, section D.1.7)."""
    text = (
        b"number-of-picture" + f"{number:09d}".encode()
    )  # 16 bytes stand for an id of their sort; one of text, then 9
    at = next(i for i, unit in enumerate(units) if unit[0] & 31 in {1, 5})
    return [*units[:at], bytes((6, 5, len(text))) + text + b"\x80", *units[at:]]


def numbers_in(data: bytes) -> list[int]:
    """The numbers of the pictures in a stream, in order."""
    return [int(found) for found in re.findall(rb"number-of-picture(\d{9})", data)]


def _without_rtcp(data: bytes) -> bytes:
    """What a viewer sent, without its reports at the front (RFC 2326, section 10.12)."""
    while data[:1] == b"$" and len(data) >= 4 + int.from_bytes(data[2:4]):
        data = data[4 + int.from_bytes(data[2:4]) :]
    return data


def _payloads(unit: bytes) -> list[bytes]:
    """A unit as RTP payloads (RFC 6184, sections 5.6 and 5.8)."""
    if len(unit) <= _MOST_RTP_BYTES:
        return [unit]
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 31
    pieces = [unit[at : at + _MOST_RTP_BYTES] for at in range(1, len(unit), _MOST_RTP_BYTES)]
    ends = [0x80] + [0] * (len(pieces) - 2) + [0x40]
    return [bytes((indicator, end | kind)) + piece for end, piece in zip(ends, pieces, strict=True)]
