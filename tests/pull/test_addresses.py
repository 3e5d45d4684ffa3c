"""What is shown of an address, and what multipart is read as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import ConfigError
from datamanager.pull.address import read_address
from datamanager.pull.failures import SourceError
from datamanager.pull.multipart import MOST_PICTURE_BYTES, MultipartReader, boundary_of

PARTS = [b"\xff\xd8one\xff\xd9", b"\xff\xd8\r\n\r\ntwo--\xff\xd9", b""]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://admin:pw123@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://admin@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:p%40ss@cam/1", "rtsp://***@cam/1"),
        ("http://cam/x?user=me&Password=hush&n=1", "http://cam/x?user=***&Password=***&n=1"),
        ("HTTPS://cam/x?access_token=abc", "https://cam/x?access_token=***"),
    ],
)
def test_credentials_are_never_shown(text: str, masked: str) -> None:
    assert read_address(text).masked == masked


def test_credentials_are_never_shown_in_what_others_say() -> None:
    address = read_address("rtsp://admin:hush%40hush@cam/1?token=abcdef")
    said = "open rtsp://admin:hush%40hush@cam/1?token=abcdef failed: user admin, password hush@hush; http://x:y@z/"
    assert address.masked_in(said) == "open rtsp://***@cam/1?token=*** failed: user ***, password ***; http://***@z/"
    assert address.plain == "rtsp://cam/1?token=abcdef"


@pytest.mark.parametrize(
    "text", ["ftp://a/b", "rtsp://", "http://:80/", "http://a:99999999/", "nowhere.mp4", "", "http://[::1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_address(text)


def body(*, lengths: bool, front: bytes = b"") -> bytes:
    found = front
    for part in PARTS:
        length = f"Content-Length: {len(part)}\r\n" if lengths else ""
        found += b"--x\r\nContent-Type: image/jpeg\r\n" + length.encode() + b"\r\n" + part + b"\r\n"
    return found + b"--x--\r\n"


@given(st.booleans(), st.integers(1, 40), st.sampled_from([b"", b"\r\n", b"preamble\r\n"]))
def test_parts_come_whole_however_their_bytes_come(lengths: bool, step: int, front: bytes) -> None:
    reader = MultipartReader(b"--x")
    data = body(lengths=lengths, front=front)
    found = [part for at in range(0, len(data), step) for part in reader.feed(data[at : at + step])]
    assert found == PARTS


def test_a_picture_may_have_sixteen_megabytes_and_no_more() -> None:
    head = b"--x\r\nContent-Length: %d\r\n\r\n"
    reader = MultipartReader(b"--x")
    assert [len(part) for part in reader.feed(head % MOST_PICTURE_BYTES + b"a" * MOST_PICTURE_BYTES)] == [
        MOST_PICTURE_BYTES
    ]
    with pytest.raises(SourceError):
        list(MultipartReader(b"--x").feed(head % (MOST_PICTURE_BYTES + 1)))
    with pytest.raises(SourceError):
        list(MultipartReader(b"--x").feed(b"--x\r\n\r\n" + b"a" * (MOST_PICTURE_BYTES + 1)))
    with pytest.raises(SourceError):
        list(MultipartReader(b"--x").feed(b"--x\r\nX: " + b"a" * 20_000))


@pytest.mark.parametrize(
    ("said", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"--frame"),
        ('multipart/x-mixed-replace;boundary="--frame"', b"--frame"),
        ("Multipart/Mixed; a=b; BOUNDARY=x y", b"--x y"),
        ("multipart/x-mixed-replace", None),
        ("multipart/x-mixed-replace; boundary=--", None),
        ("image/jpeg; boundary=x", None),
        ("", None),
    ],
)
def test_the_boundary_is_found_in_what_cameras_say(said: str, boundary: bytes | None) -> None:
    assert boundary_of(said) == boundary
