"""A small HTTP server whose paths do what a test wants of them: cameras, files, and what is none. It can be taken away and brought back."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from support.listening import Listening, read_head

__all__ = ["Conversation", "HttpCamera", "answer", "mjpeg", "numbered_jpeg", "numbers_of"]


class Conversation:
    """One request, and the socket it came by.

    Attributes:
        head: its lines, whole.
    """

    def __init__(self, sock: socket.socket, head: str, stopped: threading.Event) -> None:
        self.sock = sock
        self.head = head
        self.stopped = stopped

    def field(self, name: str) -> str:
        found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


Answer = Callable[[Conversation], None]


class HttpCamera(Listening):
    """Serves `paths`, and what `other` gives for any other, at `http://127.0.0.1:{port}`; the same port again after `stop` and `start`."""

    def __init__(self, paths: dict[str, Answer], other: Callable[[str], Answer | None] = lambda _: None) -> None:
        super().__init__()
        self.paths = paths
        self.other = other
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, sock: socket.socket, stopped: threading.Event) -> None:
        """Answers one request."""
        read = read_head(sock)
        if read is None:
            return
        head, _ = read
        path = head.split(" ")[1]
        self.requests.append(path)
        found = self.paths.get(path.partition("?")[0]) or self.other(path)
        (found or answer(b"nothing", status="404 Not Found"))(Conversation(sock, head, stopped))


def answer(
    body: bytes, *, status: str = "200 OK", content_type: str = "text/plain", ranges: bool = False, more: str = ""
) -> Answer:
    """One that gives bytes, also in parts where `ranges` is set."""

    def give(talk: Conversation) -> None:
        said, part, fields = status, body, f"Content-Type: {content_type}\r\n{more}"
        found = re.fullmatch(r"bytes=(\d+)-", talk.field("Range")) if ranges else None
        if ranges:
            fields += "Accept-Ranges: bytes\r\n"
        if found:
            at = int(found[1])
            said, part = "206 Partial Content", body[at:]
            fields += f"Content-Range: bytes {at}-{len(body) - 1}/{len(body)}\r\n"
        head = f"HTTP/1.1 {said}\r\n{fields}Content-Length: {len(part)}\r\nConnection: close\r\n\r\n"
        talk.send(head.encode() + part)

    return give


def mjpeg(pictures: Sequence[bytes], *, fps: float, lengths: bool = True, began_s: float | None = None) -> Answer:
    """A camera that sends JPEG as `multipart/x-mixed-replace`, numbered, from where it is."""
    start_s = time.monotonic() if began_s is None else began_s

    def give(talk: Conversation) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--frame\r\n\r\n")
        at = int((time.monotonic() - start_s) * fps) + 1
        while not talk.stopped.wait(max(0.0, start_s + at / fps - time.monotonic())):
            picture = numbered_jpeg(pictures[at % len(pictures)], at)
            length = f"Content-Length: {len(picture)}\r\n" if lengths else ""
            talk.send(f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + picture + b"\r\n")
            at += 1

    return give


def numbered_jpeg(picture: bytes, number: int) -> bytes:
    """A JPEG with its number in a comment (ITU-T T.81, section B.2.4.5)."""
    text = f"number-of-picture{number:09d}".encode()
    return picture[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text + picture[2:]


def numbers_of(pictures: Iterable[bytes]) -> list[int]:
    """The numbers of JPEGs."""
    return [
        int(found[1])
        for found in (re.search(rb"number-of-picture(\d{9})", picture[:200]) for picture in pictures)
        if found
    ]
