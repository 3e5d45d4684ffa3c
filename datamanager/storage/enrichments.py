"""Enrichments: which model looks at which streams. Rules stand in MongoDB, and hold for what comes in from then on."""

from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from datamanager.storage.inference_queue import Urgency

__all__ = ["Enrichment"]


class Enrichment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule.

    Attributes:
        name: unique; `[A-Za-z0-9._-]{1,64}`.
        model: name of a model, in whichever version is current; for kind `time_series` a scorer or window spec may stand in
            `options` instead.
        kind: kind of the streams that it looks at.
        robot_id, session_id, stream: shell patterns (`*`, `front_*`).
        role: of frames.
        urgency: which queue its jobs wait in; normal is shed before high, and high before emergency.
        must: every frame gets exactly one result; never sampled and never shed.
        max_fps: most frames a second and stream; 0: all of them.
        output: last part of the result stream's name; empty: as the model's manifest says.
        enabled: whether it holds.
        options: what overrides the manifest (`confidence`, `iou`, `track`) or, for telemetry, says what is computed.
    """

    name: str
    model: str = ""
    kind: Literal["images", "time_series"] = "images"
    robot_id: str = "*"
    session_id: str = "*"
    stream: str = "*"
    role: Literal["rgb", "depth"] = "rgb"
    urgency: Urgency = "normal"
    must: bool = False
    max_fps: float = 0.0
    output: str = ""
    enabled: bool = True
    options: dict[str, Any] = {}

    def matches(self, robot_id: str, session_id: str, stream: str, kind: str) -> bool:
        """Whether it looks at this stream."""
        return (
            self.enabled
            and kind == self.kind
            and fnmatchcase(robot_id, self.robot_id)
            and fnmatchcase(session_id, self.session_id)
            and fnmatchcase(stream, self.stream)
        )
