"""S3's multipart uploads: begun, looked at, put together and given up, by four requests that we sign ourselves.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html

aiobotocore would do the same, and takes a second to load, in which nobody is acked, and 46 MB.
"""

import asyncio
import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from datamanager.errors import NotFound, S3Unavailable
from datamanager.storage.presign import Method, Presigner

__all__ = ["Multipart", "Part"]

_SIGNED_S = 300
_TIMEOUT_S = 20.0
_JOIN_TIMEOUT_S = 600.0  # S3 may take minutes to put ten thousand parts together
_REPEATS = 50  # parts of the same number, beyond those that are asked for
_PAGE = 1000  # parts that S3 lists at once, at most
_MAX_ANSWER_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part that S3 has."""

    number: int
    size: int
    etag: str


class Multipart:
    """The multipart uploads of one bucket. What is not there raises `NotFound`, every other failure `S3Unavailable`.

    Args:
        presigner: signs by the address under which we reach S3 ourselves.
    """

    def __init__(self, presigner: Presigner) -> None:
        self._presigner = presigner

    async def begin(self, key: str, content_type: str | None) -> str:
        """Begins an upload; gives S3's id of it."""
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await self._ask("POST", key, {"uploads": ""}, headers=headers)
        return _text(answer, "UploadId")

    async def parts(self, key: str, s3_upload_id: str, *, after: int = 0, limit: int | None = None) -> list[Part]:
        """The parts that S3 has, by number, those behind the number `after`.

        A number may stand there several times: SeaweedFS keeps what came of a connection that broke, of any size, beside
        the part that was sent again.

        Args:
            key: the S3 key.
            s3_upload_id: which upload.
            after: a part's number.
            limit: how many numbers behind `after` are looked at; all when None.
        """
        found: list[Part] = []
        until = None if limit is None else after + limit
        while until is None or after < until:
            asked = _PAGE if until is None else min(_PAGE, until - after + _REPEATS)
            page = {"uploadId": s3_upload_id, "part-number-marker": str(after), "max-parts": str(asked)}
            answer = await self._ask("GET", key, page)
            parts = [_part(each) for each in answer.iterfind("{*}Part")]
            found += [p for p in parts if until is None or p.number <= until]
            if not parts or answer.findtext("{*}IsTruncated") != "true":
                break
            after = parts[-1].number
        return found

    async def join(self, key: str, s3_upload_id: str, parts: Sequence[Part]) -> None:
        """Puts parts together; from here on the object is there, and nothing can be added to it."""
        listed = "".join(
            f"<Part><PartNumber>{p.number}</PartNumber><ETag>{escape(p.etag)}</ETag></Part>" for p in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        await self._ask("POST", key, {"uploadId": s3_upload_id}, body=body, timeout_s=_JOIN_TIMEOUT_S)

    async def abort(self, key: str, s3_upload_id: str) -> None:
        """Gives an upload up, with the parts that came. One that is not there is no error."""
        try:
            await self._ask("DELETE", key, {"uploadId": s3_upload_id})
        except NotFound:
            return

    async def _ask(
        self,
        method: Method,
        key: str,
        query: dict[str, str],
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> ET.Element:
        [url] = self._presigner.requests(method, key, [query], _SIGNED_S)
        status, data = await asyncio.to_thread(_request, method, url, body, headers or {}, timeout_s)
        answer = _parsed(data)
        code = answer.findtext("{*}Code") or answer.findtext("Code") or ""
        if status == http.client.NOT_FOUND or code == "NoSuchUpload":
            raise NotFound(f"S3 has no such upload of {key}")
        # S3 may say 200 before it knows, and the error after that.
        if status >= 300 or answer.tag.rpartition("}")[2] == "Error":
            raise S3Unavailable(f"S3 answered {method} {key} with {status} {code}: {data[:300]!r}")
        return answer


def _request(method: str, url: str, body: bytes | None, headers: dict[str, str], timeout_s: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    of = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = of(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(_MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as exc:
        raise S3Unavailable(f"{parts.netloc} does not answer: {exc!r}") from exc
    finally:
        connection.close()


def _parsed(data: bytes) -> ET.Element:
    if not data.strip():
        return ET.Element("Empty")
    try:
        return ET.fromstring(data)  # noqa: S314  # from the S3 server that we are set to, which holds all that we have
    except ET.ParseError as exc:
        raise S3Unavailable(f"S3 answered what is no XML: {data[:200]!r}") from exc


def _part(element: ET.Element) -> Part:
    return Part(int(_text(element, "PartNumber")), int(_text(element, "Size")), _text(element, "ETag"))


def _text(element: ET.Element, name: str) -> str:
    text = element.findtext(f"{{*}}{name}")
    if text is None:
        raise S3Unavailable(f"S3's answer has no {name}")
    return text
