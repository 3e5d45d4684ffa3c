"""What a simulated robot records, as plain data: nothing here knows of clocks, sockets or files.

Every time is an offset in nanoseconds from the moment at which the session starts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Event", "Frame", "Line", "Samples", "Source"]

Column = npt.NDArray[Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one stream, as columns.

    Attributes:
        offset_ns: when they are sent: with the last of them.
        offsets_ns: int64, shape (n,), ascending.
        channels: by dotted name n values each.
    """

    stream: str
    offset_ns: int
    offsets_ns: npt.NDArray[np.int64]
    channels: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, a depth image or a point cloud.

    Attributes:
        image: an encoded file, as bytes or by path; or an array, which the client encodes.
        role: `rgb`, `depth` or `pointcloud`.
        metadata: the frame's own.
    """

    stream: str
    offset_ns: int
    image: bytes | Path | npt.NDArray[Any]
    role: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A log line."""

    stream: str
    offset_ns: int
    level: str
    message: str
    logger: str


Event = Samples | Frame | Line


class Source(Protocol):
    """Where one stream of a robot comes from.

    Attributes:
        stream: the stream's name.
        origin: what it is, for people: a recording, or how it is made.
    """

    @property
    def stream(self) -> str: ...  # noqa: D102 - said above

    @property
    def origin(self) -> str: ...  # noqa: D102 - said above

    def events(self, end_ns: int) -> Iterator[Event]:
        """Everything before `end_ns`, ascending in time; the same each time it is asked."""
