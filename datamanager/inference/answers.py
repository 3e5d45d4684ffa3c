"""The words that a model's process and the worker share: what is asked, what is answered, how it fails."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamanager.inference.manifest import Manifest

__all__ = ["Box", "Device", "FrameAnswer", "FramePicture", "Loaded", "ModelFailed", "Trouble"]

Device = Literal["cuda", "cpu"]
Trouble = Literal["cuda", "memory", "timeout", "other"]


class ModelFailed(Exception):
    """A call failed; the whole batch did.

    Attributes:
        trouble: what the circuit breaker counts it as.
    """

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(trouble, detail)  # both, so that it survives pickling
        self.trouble = trouble
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that stands ready in a child process.

    Attributes:
        manifest: as stored, completed by what the model's own metadata say (classes, layout).
        providers: the ONNX Runtime providers that really loaded, the one in use first.
        warm_up_s: how long the first calls took.
        kept: how many decoded pictures its process keeps for the frames after them; 0 where it looks at single frames.
    """

    manifest: Manifest
    providers: tuple[str, ...]
    warm_up_s: float
    kept: int = 0


@dataclass(frozen=True, slots=True)
class FramePicture:
    """One frame to be looked at.

    Attributes:
        frame_id: its record_id; decoded pictures are kept under it for a while, for the next frame's `previous`.
        data: the encoded picture.
        previous_id: the frame before it in its stream; None where there is none.
        previous: that frame's encoded picture, where it is not believed to be in the child still.
    """

    frame_id: str
    data: bytes
    previous_id: str | None = None
    previous: bytes | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A detected object.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the upright picture (turned as its EXIF orientation says).
        score: 0 to 1.
        class_id: its number; `name` is its name.
    """

    box: tuple[float, float, float, float]
    score: float
    class_id: int
    name: str


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What a model says of one frame.

    Attributes:
        width, height: of the upright picture, pixels.
        values: numbers by channel name (`sharpness`, `count`, `counts.car`, `scores.cat`).
        boxes: of a detector, the best first.
        vector: of an embedding: float32, length 1.
        extra: what else the task gives, as JSON can hold it (masks as run lengths, raw outputs).
        error: why this one picture could not be looked at (its bytes are broken); all else is empty then.
    """

    width: int = 0
    height: int = 0
    values: dict[str, float] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    vector: npt.NDArray[np.float32] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
