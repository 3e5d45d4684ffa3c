"""Pre-signed URLs of S3 objects: AWS Signature Version 4 in query parameters, for many at once.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html

A page of 1000 frames holds up to 2000 of them: 4 us each here, where obstore takes 11.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from time import gmtime, strftime, time
from typing import Literal
from urllib.parse import quote, urlsplit

__all__ = ["Method", "Presigner"]

Method = Literal["GET", "PUT", "POST", "DELETE"]
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9._~/-]*\Z", re.ASCII)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


class Presigner:
    """Signs with one key for one bucket, which the URLs name in their path."""

    def __init__(self, *, endpoint: str, bucket: str, region: str, access_key: str, secret_key: str) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.netloc.removesuffix(_DEFAULT_PORT.get(parts.scheme, ""))
        self._folder = f"{parts.path.rstrip('/')}/{quote(bucket)}/"
        self._origin = f"{parts.scheme}://{self._host}"
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key

    def urls(self, keys: Sequence[str], ttl_s: int, now_s: float | None = None) -> list[str]:
        """URLs that give the objects of `keys` to whoever has them.

        Args:
            keys: S3 keys.
            ttl_s: how long they are good for, at most a week.
            now_s: when they begin to be, Unix seconds; now when not given.
        """
        sign = self._signer("GET", ttl_s, now_s)
        return [sign(_quoted(key), "") for key in keys]

    def requests(
        self,
        method: Method,
        key: str,
        queries: Iterable[dict[str, str]],
        ttl_s: int,
        now_s: float | None = None,
    ) -> list[str]:
        """URLs that let whoever has them do one thing to one object: put it, put a part of it, list its parts.

        Args:
            method: what is done; a URL is good for that alone.
            key: the S3 key.
            queries: the parameters of each URL; their names begin with small letters, as all of S3's own do.
            ttl_s: as for `urls`; the next too.
            now_s: when they begin to be good.
        """
        sign = self._signer(method, ttl_s, now_s)
        quoted = _quoted(key)
        return [sign(quoted, _query(parameters)) for parameters in queries]

    def _signer(self, method: Method, ttl_s: int, now_s: float | None) -> Callable[[str, str], str]:
        """Signs for one method and moment: (quoted key, further query) to URL."""
        moment = gmtime(time() if now_s is None else now_s)
        date, stamp = strftime("%Y%m%d", moment), strftime("%Y%m%dT%H%M%SZ", moment)
        scope = f"{date}/{self._region}/s3/aws4_request"
        query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{self._access_key}/{scope}', safe='')}"
            f"&X-Amz-Date={stamp}&X-Amz-Expires={ttl_s}&X-Amz-SignedHeaders=host"
        )
        secret = self._signing_key(date)
        before, after = f"{method}\n{self._folder}", f"\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        head = f"{self._origin}{self._folder}"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"

        def sign(key: str, further: str) -> str:
            canonical = sha256(f"{before}{key}\n{query}{further}{after}".encode()).hexdigest()
            signature = hmac.digest(secret, f"{to_sign}{canonical}".encode(), "sha256").hex()
            return f"{head}{key}?{query}{further}&X-Amz-Signature={signature}"

        return sign

    def _signing_key(self, date: str) -> bytes:
        key = f"AWS4{self._secret_key}".encode()
        for part in (date, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def _quoted(key: str) -> str:
    return key if _NEEDS_NO_QUOTES.match(key) else quote(key, safe="/~")


def _query(parameters: dict[str, str]) -> str:
    """In the order that the signature wants: behind the `X-Amz-…`, sorted by name."""
    return "".join(f"&{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(parameters.items()))
