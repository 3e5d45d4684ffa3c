"""Addresses signed by us, for what S3 can't sign: a thumbnail in GridFS, a preview that is not made yet.

`/api/v1/frames/{frame_id}/{tier}?expires={Unix seconds}&signature={keyed BLAKE2b (RFC 7693), base64url}`: a MAC
in one pass, which takes a third of the time of HMAC-SHA-256.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import blake2b

from datamanager.clock import Clock
from datamanager.errors import BadSignature

__all__ = ["UrlSigner"]

_NS = 1_000_000_000
_SIGNATURE_BYTES = 24  # 192 bits, 32 characters without padding


class UrlSigner:
    """Signs and verifies addresses of frame tiers.

    Args:
        secret: shared by all processes.
        ttl_s: the longest that an address is good for. It is good for at least half of that: within each half the
            same address is given again, so that a browser's cache knows it.
        clock: tells the time.
    """

    def __init__(self, secret: bytes, ttl_s: int, clock: Clock) -> None:
        self._secret = secret
        self._step_s = max(1, ttl_s // 2)
        self._steps = ttl_s // self._step_s
        self._clock = clock

    def addresses(self, frame_ids: Iterable[str], tier: str) -> list[str]:
        """The signed addresses of one tier of many frames."""
        expires = str((self._now_s() // self._step_s + self._steps) * self._step_s)
        return [
            f"/api/v1/frames/{frame_id}/{tier}?expires={expires}&signature={self._signature(frame_id, tier, expires)}"
            for frame_id in frame_ids
        ]

    def verify(self, frame_id: str, tier: str, expires: str | None, signature: str | None) -> None:
        """Returns when the address is good, or bears no signature at all: that one stands on its own rights.

        Raises:
            BadSignature: it was tampered with, has expired, or bears only half of what it must.
        """
        if expires is None and signature is None:
            return
        wanted = self._signature(frame_id, tier, expires or "")
        if not hmac.compare_digest(wanted.encode(), (signature or "").encode()):
            raise BadSignature("this address is not as it was signed")
        if int(expires or 0) <= self._now_s():
            raise BadSignature("this address has expired; ask for a new one")

    def _now_s(self) -> int:
        return self._clock.now_ns() // _NS

    def _signature(self, frame_id: str, tier: str, expires: str) -> str:
        name = f"{frame_id}\n{tier}\n{expires}".encode()
        return urlsafe_b64encode(blake2b(name, digest_size=_SIGNATURE_BYTES, key=self._secret).digest()).decode()
