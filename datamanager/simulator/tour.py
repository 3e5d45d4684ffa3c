"""Shows what a server has of a session, all of it asked over the API, and saves a few pictures."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from datamanager.errors import Unavailable
from datamanager.simulator.reports import Say, amount

__all__ = ["Tour", "sparkline", "table"]

_BARS = "▁▂▃▄▅▆▇█"
_BINS = 60
_CAMERA = "front_rgb"
_TIER_WAIT_S = 30.0
_ENDINGS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/avif": "avif",
}


class Tour:
    """A walk through one session.

    Attributes:
        streams: those that the session has, once it was shown.

    Args:
        http: a client whose base is the server's address.
        robot_id: whose session.
        session_id: which session.
        folder: where pictures are saved.
        say: takes the lines.
    """

    def __init__(self, http: httpx.Client, robot_id: str, session_id: str, folder: Path, say: Say) -> None:
        self._http = http
        self._session_id = session_id
        self._path = f"/api/v1/sessions/{robot_id}/{session_id}"
        self._folder = folder
        self._say = say
        self.streams: set[str] = set()

    def show(self) -> None:
        """All of it.

        Raises:
            Unavailable: the server answers with an error, or not at all.
        """
        try:
            self._sessions()
            streams = self._streams()
            self._timeline(streams)
            self._range()
            self.streams = {stream["stream"] for stream in streams}
            self._frames(self.streams)
            self._enriched(self.streams)
        except httpx.HTTPError as error:
            raise Unavailable(f"the server does not answer as it should: {error}") from error

    def _sessions(self) -> None:
        items = self._json(f"/api/v1/sessions?q={self._session_id}")["items"]
        rows = [
            (item["robot_id"], item["session_id"], item["status"], item["start_time"], f"{_length_s(item):.1f} s")
            for item in items
        ]
        self._table("robot session status start length", rows)

    def _streams(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._json(f"{self._path}/streams")["items"]
        rows = [
            (
                item["stream"],
                item["kind"],
                f"{item['samples'] or item['records']:,}",
                amount(item["size_bytes"]),
                _channels(item.get("channels") or []),
            )
            for item in items
        ]
        self._table("stream kind count size channels", rows)
        return items

    def _timeline(self, streams: Sequence[Mapping[str, Any]]) -> None:
        """How many there are in each sixtieth of the session."""
        found = self._json(f"{self._path}/timeline?bins={_BINS}")["streams"]
        width = max(map(len, found))
        frames = [stream["stream"] for stream in streams if stream["kind"] in ("images", "log")]
        for name in ["pose", *frames]:
            if name in found:
                self._say(f"  {name.ljust(width)}  {sparkline(found[name])}  {max(found[name])} in the fullest")
        self._say("")

    def _range(self) -> None:
        found = self._json(f"{self._path}/range?stream=force_torque&channels=force.z&max_points=6")
        channels = found["channels"]
        columns = [channels[f"{what}(force.z)"] for what in ("min", "mean", "max")]
        rows = [
            (f"{start / 1e9:.3f}", f"{end / 1e9:.3f}", str(count), *(f"{value:.2f}" for value in values))
            for start, end, count, *values in zip(
                found["offset_ns"], found["end_offset_ns"], found["count"], *columns, strict=True
            )
        ]
        self._table("from_s to_s count min(force.z) mean(force.z) max(force.z)", rows)
        address = f"{self._path}/range?stream=joint_states&format=arrow"
        started_s = time.monotonic()
        whole = self._get(address)
        took_ms = (time.monotonic() - started_s) * 1000
        self._say(f"GET {address}\n  every sample, as Arrow: {amount(len(whole.content))} in {took_ms:.0f} ms\n")

    def _frames(self, streams: set[str]) -> None:
        """One frame of each sort, from the middle of the session."""
        info = self._get(self._path).json()
        middle_ns = (int(info["first_t_ns"]) + int(info["last_t_ns"])) // 2
        for stream, tiers in _SHOWN.items():
            if stream in streams:
                where = f"{self._path}/records?stream={stream}&limit=1"
                items = self._json(f"{where}&start={middle_ns}")["items"] or self._json(where)["items"]
                for tier in tiers:
                    self._save(items[0], tier)
                self._say("")

    def _enriched(self, streams: set[str]) -> None:
        """What models said of the cameras: the sharpest frames, and one with what was found in it drawn."""
        if f"{_CAMERA}/quality" in streams:
            where = urlencode({"stream": f"{_CAMERA}/quality", "where": "sharpness > 0", "limit": 3})
            found = self._json(f"{self._path}/results?{where}")["items"]
            channels = ("sharpness", "exposure", "motion", "entropy")
            rows = [(item["t_ns"], *(f"{item['values'].get(name, 0):.3g}" for name in channels)) for item in found]
            self._table("t_ns " + " ".join(channels), rows)
        if f"{_CAMERA}/detections" in streams:
            where = urlencode({"stream": f"{_CAMERA}/detections", "where": "count >= 1", "limit": 1})
            found = self._json(f"{self._path}/results?{where}")["items"]
            for item in found:
                for box in item["detections"]:
                    self._say(f"  {box['class']} {box['score']:.2f} at {box['box']}")
                address = f"/api/v1/frames/{item['frame_id']}/preview?overlay=detections"
                answer = self._made(address)
                file = self._folder / f"{_CAMERA}.detections.jpg"
                file.write_bytes(answer.content)
                self._say(f"  {file}  {amount(len(answer.content))}  GET {address}\n")

    def _save(self, item: Mapping[str, Any], tier: str) -> None:
        """Saves a tier; an original comes through its pre-signed address, straight from S3."""
        if tier == "original":
            answer = self._get(item["urls"]["original"])
            same = hashlib.sha256(answer.content).hexdigest() == item["checksum"]
            about = f"through its pre-signed URL, sha256 {'matches' if same else 'DIFFERS'}"
        else:
            address = f"/api/v1/frames/{item['record_id']}/{tier}"
            answer = self._made(address)
            about = f"GET {address}"
        kind = answer.headers.get("content-type", "").partition(";")[0]
        other = "drc" if tier == "preview" else item["metadata"]["format"]
        file = self._folder / f"{item['stream'].replace('/', '-')}.{tier}.{_ENDINGS.get(kind, other)}"
        file.write_bytes(answer.content)
        self._say(f"  {file}  {amount(len(answer.content))}  {about}")

    def _made(self, address: str) -> httpx.Response:
        """A tier; waits while it is being made."""
        give_up_s = time.monotonic() + _TIER_WAIT_S
        while (answer := self._get(address)).status_code == httpx.codes.ACCEPTED:
            if time.monotonic() > give_up_s:
                raise Unavailable(f"GET {address} has nothing after {_TIER_WAIT_S:g} s: is a worker running?")
            time.sleep(float(answer.headers.get("retry-after", "1")))
        return answer

    def _json(self, address: str) -> Any:
        """The answer, of which the person is told what was asked."""
        self._say(f"GET {address}")
        return self._get(address).json()

    def _get(self, address: str) -> httpx.Response:
        answer = self._http.get(address)
        return answer if answer.is_success else answer.raise_for_status()

    def _table(self, heads: str, rows: Sequence[Sequence[str]]) -> None:
        for line in table(heads.split(), rows):
            self._say(line)
        self._say("")


_SHOWN: Mapping[str, Sequence[str]] = {
    "front_rgb": ("thumbnail", "original"),
    "front_depth": ("preview",),
    "cloud": ("preview", "thumbnail"),
}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, its columns aligned."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]


def sparkline(counts: Sequence[int]) -> str:
    """A bar a count, the tallest for the largest; a dot for none."""
    most = max(counts, default=0)
    return "".join(_BARS[(count * len(_BARS) - 1) // most] if count else "·" for count in counts)


def _length_s(item: Mapping[str, Any]) -> float:
    return (int(item["last_t_ns"] or 0) - int(item["first_t_ns"] or 0)) / 1e9


def _channels(channels: Sequence[Mapping[str, Any]]) -> str:
    names = [channel["name"] for channel in channels]
    return ", ".join(names[:3]) + (f", … {len(names)} in all" if len(names) > 3 else "")
