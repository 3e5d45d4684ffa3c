"""Sources: content read by range, wherever it lies."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import S3Unavailable
from datamanager.kinds.source import BytesSource, FileSource, Source, UrlSource, open_source, pieces

DATA = bytes(range(256)) * 40


class _Ranges(BaseHTTPRequestHandler):
    """Answers ranges as S3 does, on one connection after the other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        body = DATA[first : last + 1] if self.path == "/good" else b""
        self.send_response(206 if self.path == "/good" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ranges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["bytes", "file", "url"])
def source(request: pytest.FixtureRequest, tmp_path: Path, address: str) -> Iterator[Source]:
    if request.param == "bytes":
        yield BytesSource(DATA)
    elif request.param == "file":
        (tmp_path / "x").write_bytes(DATA)
        with (tmp_path / "x").open("rb") as file:
            yield FileSource(file)
    else:
        with UrlSource(f"{address}/good", len(DATA)) as found:
            yield found


def test_ranges_are_as_of_the_bytes(source: Source) -> None:
    assert source.size == len(DATA)
    for offset, size in [(0, 5), (100, 300), (len(DATA) - 3, 3), (len(DATA) - 3, 100), (len(DATA), 1), (0, 10**6)]:
        assert source.read(offset, size) == DATA[offset : offset + size]
    assert b"".join(pieces(source, 1000)) == DATA


def test_a_file_object_over_a_source_reads_and_seeks(source: Source) -> None:
    with open_source(source, buffer_bytes=64) as file:
        assert file.read(10) == DATA[:10]
        assert file.seek(-5, 2) == len(DATA) - 5
        assert file.read() == DATA[-5:]
        assert file.seek(77) == 77
        assert file.read(500) == DATA[77:577]
        assert file.tell() == 577
        with pytest.raises(ValueError, match="negative seek"):
            file.seek(-1)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=8), st.binary(max_size=256))
def test_any_walk_through_a_source_is_as_through_the_bytes(walk: list[tuple[int, int]], data: bytes) -> None:

    plain: Source = type("Other", (), {"size": len(data), "read": lambda _, at, n: data[at : at + n]})()
    with open_source(plain, buffer_bytes=16) as file:
        for offset, size in walk:
            file.seek(offset)
            assert file.read(size) == data[offset : offset + size]


def test_an_address_that_does_not_give_the_range_is_said_to_be_unavailable(address: str) -> None:
    with UrlSource(f"{address}/gone", 100) as gone, pytest.raises(S3Unavailable, match="404"):
        gone.read(0, 10)
    with UrlSource("http://127.0.0.1:9/x", 100) as nobody, pytest.raises(S3Unavailable, match="does not answer"):
        nobody.read(0, 10)
