"""A playlist of HLS as text (RFC 8216), from segments whose addresses and times are known."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["PlaylistPart", "PlaylistSegment", "write_playlist"]

_TICKS_PER_S = 90_000
_SLACK_TICKS = _TICKS_PER_S // 4  # chunks whose times are off by less follow each other


@dataclass(frozen=True, slots=True)
class PlaylistSegment:
    """One segment: the S3 key it has, and how long it lasts, in ticks of 1/90,000 s."""

    key: str
    ticks: int


@dataclass(frozen=True, slots=True)
class PlaylistPart:
    """What one record gives: segments that follow each other.

    Attributes:
        start_ns: when the first of them was recorded, Unix nanoseconds.
        base: the time that stands in the first of them, in ticks.
        init: the S3 key of what a player needs first.
        is_live: whether it is a chunk of a stream that may go on in the next part.
    """

    start_ns: int
    base: int
    init: str
    segments: Sequence[PlaylistSegment]
    is_live: bool
    independent: bool

    @property
    def end(self) -> int:
        """The time at which the last segment ends, in ticks."""
        return self.base + sum(segment.ticks for segment in self.segments)


def write_playlist(parts: Sequence[PlaylistPart], urls: dict[str, str], *, is_ended: bool) -> str:
    """The playlist.

    Args:
        parts: what is played, ascending in time.
        urls: the addresses of S3 keys.
        is_ended: whether nothing more will come.
    """
    longest = max((segment.ticks for part in parts for segment in part.segments), default=_TICKS_PER_S)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, math.ceil(longest / _TICKS_PER_S))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if is_ended else 'EVENT'}",
    ]
    if all(part.independent for part in parts):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    if not is_ended and not any(part.is_live for part in parts):
        lines.append(
            "#EXT-X-START:TIME-OFFSET=0"
        )  # whole videos that may get more are no reason to begin with the last
    before: PlaylistPart | None = None
    for part in parts:
        lines += _lines(part, before, urls)
        before = part
    if is_ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _lines(part: PlaylistPart, before: PlaylistPart | None, urls: dict[str, str]) -> Iterator[str]:
    is_other = before is None or before.init != part.init
    follows = before is not None and before.is_live and part.is_live and abs(part.base - before.end) <= _SLACK_TICKS
    if before is not None and (is_other or not follows):
        yield "#EXT-X-DISCONTINUITY"
    if is_other:
        yield f'#EXT-X-MAP:URI="{urls[part.init]}"'
    yield f"#EXT-X-PROGRAM-DATE-TIME:{_moment(part.start_ns)}"
    for segment in part.segments:
        yield f"#EXTINF:{segment.ticks / _TICKS_PER_S:.5f},"
        yield urls[segment.key]


def _moment(t_ns: int) -> str:
    seconds, rest = divmod(t_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
