"""One page of a list, and the cursor that leads to the next."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from datamanager.playback.params import encode_cursor
from datamanager.playback.plain_json import plain

__all__ = ["DEFAULT_LIMIT", "Page", "next_cursor"]

DEFAULT_LIMIT = 100

T = TypeVar("T")
D = TypeVar("D")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items, and the cursor of the next page; null when there is none."""

    items: list[T]
    next_cursor: str | None = None


def next_cursor(found: Sequence[D], limit: int, place: Callable[[D], tuple[int | str, ...]]) -> str | None:
    """The cursor after a page of `limit`, of which one more was asked for to learn whether there is another page.

    Args:
        found: what was found, `limit` + 1 at most.
        limit: how many of it are on the page.
        place: where in the list's order one of them stands.
    """
    return encode_cursor(tuple(plain(place(found[limit - 1])))) if len(found) > limit else None
