"""One range of bytes, as a header asks for it; and caches that stay within their bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.playback.bounded_cache import BoundedCache
from datamanager.playback.byte_ranges import parse_byte_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        (" Bytes = 2 - 5 ", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-99999", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=10-", (10, 10)),
        ("bytes=11-12", (11, 11)),
        ("bytes=-0", (10, 10)),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
    ],
)
def test_ranges_are_as_the_rfc_has_them(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_byte_range(header, 10) == expected


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(1, 2**63))
def test_a_range_never_reaches_beyond_the_end(first: int, last: int, size: int) -> None:
    found = parse_byte_range(f"bytes={first}-{last}", size)
    assert found is None or found[0] <= found[1]
    assert found is None or found[0] >= size or found[1] <= size


def test_what_was_used_last_stays_in_a_cache() -> None:
    cache: BoundedCache[str] = BoundedCache(10)
    cache.put("a", "A", 5)
    cache.put("b", "B", 5)
    assert cache.get("a") == "A"
    cache.put("c", "C", 5)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    cache.put("huge", "H", 11)
    assert (cache.get("huge"), cache.get("a")) == (None, "A")
    cache.put("a", "A2", 9)
    assert (cache.get("a"), cache.get("c")) == ("A2", None)
