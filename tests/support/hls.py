"""Reads a playlist and its segments as a player does."""

import io
import re
from dataclasses import dataclass, field
from typing import Any

import av
import httpx

__all__ = ["Playlist", "read_playlist", "times_of"]


@dataclass
class Part:
    """Segments between two discontinuities: the address of what comes first, and (duration, address) of each."""

    init: str = ""
    moment: str = ""
    segments: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Playlist:
    """A playlist, read."""

    tags: dict[str, str]
    parts: list[Part]
    is_ended: bool

    @property
    def duration_s(self) -> float:
        return sum(seconds for part in self.parts for seconds, _ in part.segments)


def read_playlist(text: str) -> Playlist:
    """Reads RFC 8216, as far as it is used; what is not known fails."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    tags: dict[str, str] = {}
    parts = [Part()]
    seconds, init, is_ended = None, "", False
    for line in lines[1:]:
        name, _, value = line.partition(":") if line.startswith("#") else ("", "", "")
        if name in (
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-PLAYLIST-TYPE",
        ) or name in ("#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-START"):
            tags[name] = value
        elif name == "#EXT-X-DISCONTINUITY":
            parts.append(Part())
        elif name == "#EXT-X-MAP":
            found = re.fullmatch(r'URI="([^"]+)"', value)
            assert found
            init = found[1]
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            parts[-1].moment = parts[-1].moment or value
        elif name == "#EXTINF":
            seconds = float(value.rstrip(","))
        elif name == "#EXT-X-ENDLIST":
            is_ended = True
        else:
            assert not line.startswith("#"), line
            assert seconds is not None
            parts[-1].init = init
            parts[-1].segments.append((seconds, line))
            assert seconds <= int(tags["#EXT-X-TARGETDURATION"])
            seconds = None
    return Playlist(tags, parts, is_ended)


def times_of(http: httpx.Client, part: Part) -> dict[str, list[float]]:
    """The times of all that can be decoded of a part, by sort of track; each segment must be decodable by itself."""
    init = http.get(part.init).raise_for_status().content
    segments = [http.get(url).raise_for_status().content for _, url in part.segments]
    for segment in segments:
        with av.open(io.BytesIO(init + segment)) as container:
            assert next(iter(container.decode(video=0))).key_frame
    found: dict[str, list[float]] = {}
    with av.open(io.BytesIO(init + b"".join(segments))) as container:
        for frame in container.decode():
            kind: Any = "video" if isinstance(frame, av.VideoFrame) else "audio"
            found.setdefault(kind, []).append(frame.time or 0.0)
    return found
