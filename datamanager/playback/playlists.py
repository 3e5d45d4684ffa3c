"""Playlists of a stream of video: its preview, as far as it is made, or its chunks, as far as they have come."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.errors import NotFound, RangeTooLarge, Refused
from datamanager.playback.derived import NotDerivable, StillPending
from datamanager.playback.hls import PlaylistPart, PlaylistSegment, write_playlist
from datamanager.playback.params import TimeRange, parse_range
from datamanager.playback.record_items import KeySigner
from datamanager.storage.mongo import Document
from datamanager.storage.session_queries import SessionQueries
from datamanager.storage.video_queries import VideoQueries

__all__ = ["PlaylistReader"]

_MOST_PARTS = 20_000
_MOST_SEGMENTS = 20_000
_POLL_S = 0.25
_NS_PER_TICK = 100_000 / 9
_SETTLED_NS = 30 * 10**9
_LAST_MOMENT_NS = 253_402_300_799 * 10**9  # the end of the year 9999: a playlist has no later times


@dataclass(frozen=True, slots=True)
class _Read:
    """What there is of a range.

    Attributes:
        is_whole: whether nothing of it is still being made.
        waits: whether more may come while its session goes on: of a live stream at any time, of whole videos soon after
            the last one.
        error: why something of it cannot be played.
    """

    parts: list[PlaylistPart]
    is_whole: bool
    waits: bool
    error: str | None


class PlaylistReader:
    """Answers `…/playlist.m3u8`.

    Args:
        sessions: tells whether a session goes on.
        videos: finds what it recorded.
        s3: signs addresses of segments.
        clock: tells the time.
        url_ttl_s: how long these are good for.
        wait_s: how long a request waits for the first segment.
    """

    def __init__(
        self,
        sessions: SessionQueries,
        videos: VideoQueries,
        s3: KeySigner,
        clock: Clock,
        *,
        url_ttl_s: int,
        wait_s: float,
    ) -> None:
        self._sessions = sessions
        self._videos = videos
        self._s3 = s3
        self._clock = clock
        self._url_ttl_s = url_ttl_s
        self._wait_s = wait_s

    async def read(
        self, robot_id: str, session_id: str, stream: str | None, start: str | None, end: str | None
    ) -> str | StillPending:
        """The playlist of what was recorded in [start, end).

        Raises:
            NotFound: there is no such session, or no such stream of video in it.
            Refused: a parameter cannot be read, or it is not said which stream is meant.
            RangeTooLarge: there are too many segments.
            NotDerivable: nothing of it can be played; the detail says why.
        """
        span = parse_range(start, end)
        session = await self._sessions.one(robot_id, session_id)
        name = await self._stream(robot_id, session_id, stream)
        # Of a range that is long over nothing more is waited for, whether or not anybody said that the session is.
        is_over = session["status"] == "ended" or span.end_ns < self._clock.now_ns() - _SETTLED_NS
        until_s = self._clock.monotonic_s() + self._wait_s
        while True:
            found = await self._parts(robot_id, session_id, name, span)
            if found.parts:
                return self._write(found, is_ended=found.is_whole and (is_over or not found.waits))
            if found.is_whole and found.error is not None:
                raise NotDerivable(f"nothing of stream {name!r} can be played: {found.error}")
            if found.is_whole and is_over:
                raise NotFound(f"stream {name!r} has no pictures in that range")
            if self._clock.monotonic_s() >= until_s:
                return StillPending()
            await asyncio.sleep(_POLL_S)

    async def _stream(self, robot_id: str, session_id: str, stream: str | None) -> str:
        names = await self._videos.streams(robot_id, session_id)
        if stream is not None:
            if stream not in names:
                raise NotFound(f"session {robot_id}/{session_id} has no stream of video {stream[:200]!r}")
            return stream
        if not names:
            raise NotFound(f"session {robot_id}/{session_id} has no stream of video")
        if len(names) > 1:
            raise Refused("missing_field", f"stream must name one of {', '.join(names)[:500]}")
        return names[0]

    async def _parts(self, robot_id: str, session_id: str, stream: str, span: TimeRange) -> _Read:
        documents = await self._videos.parts(robot_id, session_id, stream, span.start_ns, span.end_ns, _MOST_PARTS + 1)
        if len(documents) > _MOST_PARTS:
            raise RangeTooLarge(f"there are more than {_MOST_PARTS} chunks: ask for less by start and end")
        parts: list[PlaylistPart] = []
        error: str | None = None
        waits = any(self._waits(document) for document in documents)
        for document in documents:
            part = _part(document, span)
            if part is not None:
                parts.append(part)
            error = error or (document["derived"].get("failed") or {}).get("video_hls")
            if "video_hls" in document["derived"].get("wants", ()):
                return _Read(
                    parts, is_whole=False, waits=waits, error=error
                )  # what follows may only be added behind it
        if sum(len(part.segments) for part in parts) > _MOST_SEGMENTS:
            raise RangeTooLarge(f"there are more than {_MOST_SEGMENTS} segments: ask for less by start and end")
        return _Read(parts, is_whole=True, waits=waits, error=error)

    def _waits(self, document: Document) -> bool:
        is_fresh = bool(document["arrived_ns"] > self._clock.now_ns() - _SETTLED_NS)
        return is_fresh or _is_live(document)

    def _write(self, found: _Read, *, is_ended: bool) -> str:
        keys = list(dict.fromkeys(key for part in found.parts for key in _keys(part)))
        urls = dict(zip(keys, self._s3.sign(keys, self._url_ttl_s), strict=True))
        return write_playlist(found.parts, urls, is_ended=is_ended)


def _keys(part: PlaylistPart) -> Sequence[str]:
    return [part.init, *(segment.key for segment in part.segments)]


def _part(document: Document, span: TimeRange) -> PlaylistPart | None:
    """What a record gives of a range: whole segments, those included that only overlap it."""
    hls = document.get("hls") or {}
    if "init" not in hls or document["t_ns"] > _LAST_MOMENT_NS:
        return None
    at, first_at = 0, None
    segments: list[PlaylistSegment] = []
    for number, ticks in enumerate(hls["durations"]):
        start_ns, end_ns = (document["t_ns"] + int(edge * _NS_PER_TICK) for edge in (at, at + ticks))
        if end_ns > span.start_ns and start_ns < span.end_ns:
            first_at = at if first_at is None else first_at
            key = document["keys"]["original"] if hls.get("own") else f"{hls['prefix']}/{number:06d}.m4s"
            segments.append(PlaylistSegment(key, ticks))
        at += ticks
    if first_at is None:
        return None
    return PlaylistPart(
        start_ns=document["t_ns"] + int(first_at * _NS_PER_TICK),
        base=hls["base"] + first_at,
        init=hls["init"],
        segments=segments,
        is_live=_is_live(document),
        independent=hls["independent"],
    )


def _is_live(document: Document) -> bool:
    """Whether it is a chunk of a stream, and no whole video."""
    return bool(document["metadata"]["part"] != "whole")
