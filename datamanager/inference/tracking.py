"""Ids that stay with an object from frame to frame.

Boxes are given to tracks of their class by how much they overlap with where the track is expected: those of a high score
choose first (as in ByteTrack, arXiv 2110.06864), the weak ones of an object half hidden take what is left, and what then
remains on both sides is tried once more with boxes made larger, for what moves fast or is looked at rarely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.inference.assignment import assign
from datamanager.inference.nms import iou_matrix

__all__ = ["TrackBox", "TrackOptions", "Tracker"]

Floats = npt.NDArray[np.float64]

_S = 1e-9


@dataclass(frozen=True, slots=True)
class TrackBox:
    """A box that is to get an id.

    Attributes:
        box: x1, y1, x2, y2, in one and the same pixels for all frames of the stream.
        score: 0 to 1.
        class_id: tracks are of one class.
    """

    box: tuple[float, float, float, float]
    score: float
    class_id: int


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How boxes find their tracks.

    Attributes:
        strong_score: boxes of at least this score choose first.
        least_iou: least overlap of a box and the place where its track is expected.
        least_wide_iou: least overlap in the last round, of boxes made larger.
        wider_by: of its width and height, what a box gets on each side in the last round.
        max_gap_s: a track not seen for longer has ended.
        max_tracks: most tracks that are kept, those seen last.
        agility: how much of a velocity is the newest measurement; the rest is what was believed before.
    """

    strong_score: float = 0.5
    least_iou: float = 0.2
    least_wide_iou: float = 0.15
    wider_by: float = 0.5
    max_gap_s: float = 1.0
    max_tracks: int = 1000
    agility: float = 0.6


@dataclass(slots=True)
class _Track:
    """An object, as last seen; written over with each sight, since new ones would take half of the time.

    Attributes:
        velocity: of its middle, pixels a second; None until it was seen twice.
    """

    number: int
    class_id: int
    t_ns: int
    box: tuple[float, float, float, float]
    velocity: tuple[float, float] | None = None


class Tracker:
    """Gives boxes of one stream their ids. Pure: the same calls give the same ids, in any process.

    Args:
        options: how.
    """

    def __init__(self, options: TrackOptions | None = None) -> None:
        self._options = options or TrackOptions()
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, t_ns: int, boxes: Sequence[TrackBox]) -> list[int]:
        """Ids of the boxes of one frame, in their order: each 1 or more, and no two alike.

        A box that belongs to no track begins one. A frame without boxes may be left out.

        Args:
            t_ns: of the frame. Frames come in the order of their times; an earlier one is taken for a simultaneous one.
            boxes: all of the frame.
        """
        options = self._options
        self._tracks = [track for track in self._tracks if (t_ns - track.t_ns) * _S <= options.max_gap_s]
        track_of = self._match(t_ns, boxes)
        numbers = []
        for at, box in enumerate(boxes):
            if at in track_of:
                track = self._tracks[track_of[at]]
                _follow(track, t_ns, _plain(box.box), options.agility)
            else:
                track = _Track(self._next, box.class_id, t_ns, _plain(box.box))
                self._tracks.append(track)
                self._next += 1
            numbers.append(track.number)
        if len(self._tracks) > options.max_tracks:
            last_seen = sorted(self._tracks, key=lambda track: (-track.t_ns, track.number))[: options.max_tracks]
            self._tracks = sorted(last_seen, key=lambda track: track.number)
        return numbers

    def state(self) -> dict[str, Any]:
        """All that another tracker needs to go on with the same ids; what JSON and BSON can hold, without loss."""
        tracks = [
            {"id": track.number, "class_id": track.class_id, "t_ns": track.t_ns, "box": list(track.box)}
            | ({} if track.velocity is None else {"velocity": list(track.velocity)})
            for track in self._tracks
        ]
        return {"next": self._next, "tracks": tracks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`.

        Raises:
            Refused: `bad_payload`: it is none.
        """
        try:
            tracks = [_restored(entry) for entry in state["tracks"]]
            following = int(state["next"])
        except (KeyError, TypeError, ValueError) as exc:
            raise Refused("bad_payload", f"this is no state of a tracker: {exc!r}") from exc
        self._tracks, self._next = tracks, following

    def _match(self, t_ns: int, boxes: Sequence[TrackBox]) -> dict[int, int]:
        """Which track each box belongs to; both by their place."""
        if not self._tracks or not boxes:
            return {}
        options = self._options
        expected = np.array([_expected(track, t_ns) for track in self._tracks], np.float64)
        seen = np.array([box.box for box in boxes], np.float64)
        same_class = np.equal.outer(
            np.array([track.class_id for track in self._tracks]), np.array([box.class_id for box in boxes])
        )
        is_strong = np.array([box.score >= options.strong_score for box in boxes])
        overlap = np.where(same_class, iou_matrix(expected, seen), 0.0)
        found: dict[int, int] = {}
        free = np.ones(len(self._tracks), np.bool_)
        for may_choose in (is_strong, ~is_strong):
            _choose(overlap, options.least_iou, free, may_choose, found)
        left = np.array([at not in found for at in range(len(boxes))])
        if left.any() and free.any():
            wide = iou_matrix(_widened(expected, options.wider_by), _widened(seen, options.wider_by))
            _choose(np.where(same_class, wide, 0.0), options.least_wide_iou, free, left, found)
        return found


def _choose(
    likeness: Floats, least: float, free: npt.NDArray[np.bool_], choosing: npt.NDArray[np.bool_], found: dict[int, int]
) -> None:
    """One round; `free` tracks that are chosen are free no more, and `found` learns whose they are."""
    tracks, boxes = np.flatnonzero(free), np.flatnonzero(choosing)
    for row, column in assign(likeness[np.ix_(tracks, boxes)], least):
        found[int(boxes[column])] = int(tracks[row])
        free[tracks[row]] = False


def _expected(track: _Track, t_ns: int) -> tuple[float, float, float, float]:
    """Where a track should be by now, if it went on as it did."""
    if track.velocity is None:
        return track.box
    after_s = max(0, t_ns - track.t_ns) * _S
    dx, dy = track.velocity[0] * after_s, track.velocity[1] * after_s
    x1, y1, x2, y2 = track.box
    return x1 + dx, y1 + dy, x2 + dx, y2 + dy


def _follow(track: _Track, t_ns: int, now: tuple[float, float, float, float], agility: float) -> None:
    """Takes note that the track was seen once more."""
    after_s = (t_ns - track.t_ns) * _S
    was, track.box = track.box, now
    if after_s <= 0:
        return
    track.t_ns = t_ns
    dx = (now[0] + now[2] - was[0] - was[2]) / 2 / after_s
    dy = (now[1] + now[3] - was[1] - was[3]) / 2 / after_s
    if track.velocity is not None:
        dx = agility * dx + (1 - agility) * track.velocity[0]
        dy = agility * dy + (1 - agility) * track.velocity[1]
    track.velocity = (dx, dy)


def _widened(boxes: Floats, by: float) -> Floats:
    margin = (boxes[:, 2:] - boxes[:, :2]) * by
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def _plain(box: Sequence[float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return float(x1), float(y1), float(x2), float(y2)


def _restored(entry: Mapping[str, Any]) -> _Track:
    velocity = entry.get("velocity")
    return _Track(
        int(entry["id"]),
        int(entry["class_id"]),
        int(entry["t_ns"]),
        _plain(entry["box"]),
        None if velocity is None else (float(velocity[0]), float(velocity[1])),
    )
