"""A model's manifest: what it takes, what its outputs mean, and what is done when it fails.

It lies beside the model, as `manifest.json`, under `models/{name}/{version}/` in S3.
"""

from typing import Any, Literal

import msgspec

from datamanager.errors import Refused

__all__ = ["DetectOptions", "FrameFit", "FrameInput", "Layout", "Manifest", "Task", "read_manifest"]

Task = Literal["detect", "classify", "embed", "segment", "quality", "anomaly", "raw"]
Layout = Literal["yolo", "yolo_nms"]
FrameFit = Literal["letterbox", "stretch", "crop"]
_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"


class FrameInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a picture becomes the model's input tensor of shape (batch, channels, height, width).

    Attributes:
        name: of the model's input; empty: its first one.
        width, height: pixels.
        channels: 3 (RGB) or 1 (grey, ITU-R BT.601 luma).
        fit: how the picture's sides come to these: `letterbox` keeps them in proportion and fills with grey 114,
            `stretch` does not keep them, `crop` keeps them and cuts the longer side about its middle.
        dtype: of the tensor.
        scale, mean, std: a byte v of channel c becomes (v * scale - mean[c]) / std[c].
        previous: name of a second input, of the same shape, that gets the stream's previous picture; empty: none.
    """

    name: str = ""
    width: int
    height: int
    channels: Literal[1, 3] = 3
    fit: FrameFit = "letterbox"
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    previous: str = ""


class DetectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a detector's boxes are filtered by.

    Attributes:
        layout: `yolo`: (batch, 4 + classes, anchors), cx cy w h in input pixels, scores without objectness (YOLOv8,
            YOLO11); `yolo_nms`: (batch, n, 6), x1 y1 x2 y2 score class, as exported with built-in NMS. None: told by the
            output's shape.
        confidence: least score of a box.
        iou: boxes of one class that overlap by more than this are one.
        max_boxes: most boxes of one picture, the best ones.
        track: whether boxes get ids that stay with an object from frame to frame.
    """

    layout: Layout | None = None
    confidence: float = 0.25
    iou: float = 0.45
    max_boxes: int = 300
    track: bool = True


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's manifest.

    Attributes:
        name, version: where it stands: `models/{name}/{version}/`.
        task: what its outputs mean.
        output: last part of the result stream's name: `front` and `detections` make `front/detections`.
        input: how pictures become its input; None for a model of telemetry.
        classes: names by class number; empty: from the model's own metadata, else the numbers.
        detect: for the task `detect`.
        max_batch: most pictures of one call; 1 where the model's batch size is fixed.
        timeout_s: a call that takes longer has hung: its process is ended.
        memory_bytes: how large the model's process may grow on the CPU.
        fallback: model that is used while this one fails; empty: none.
        checksum: SHA-256 of the model file, hexadecimal; empty until it is stored.
        about: one line for people.
        options: what the task needs besides, by name.
    """

    name: str
    version: str
    task: Task
    output: str = ""
    input: FrameInput | None = None
    classes: list[str] = []
    detect: DetectOptions = DetectOptions()
    max_batch: int = 16
    timeout_s: float = 10.0
    memory_bytes: int = 1 << 30
    fallback: str = ""
    checksum: str = ""
    about: str = ""
    options: dict[str, Any] = {}

    @property
    def stream(self) -> str:
        """Last part of the result stream's name."""
        return self.output or _STREAMS[self.task]


_STREAMS: dict[Task, str] = {
    "detect": "detections",
    "classify": "classes",
    "embed": "embedding",
    "segment": "segments",
    "quality": "quality",
    "anomaly": "anomaly",
    "raw": "raw",
}


def read_manifest(data: bytes | str) -> Manifest:
    """Reads and checks a manifest.

    Raises:
        Refused: `malformed` or `bad_payload`; the detail names the field.
    """
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.ValidationError as exc:
        raise Refused("bad_payload", f"the manifest: {exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused("malformed", f"the manifest is no JSON: {exc}") from exc
