"""What a robot logs to: one named source of a session."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.client.columns import columns_of_arrays
from datamanager.client.flatten import flatten
from datamanager.client.intake import Intake, encode_draft
from datamanager.client.media import image_payload
from datamanager.client.times import Time, to_ns
from datamanager.client.vuer import to_vuer
from datamanager.client.wire import Message
from datamanager.errors import Refused
from datamanager.kinds.names import check_stream, kind_of

__all__ = ["Stream"]

_NO_VALUE: Any = object()
_VALUE_KINDS = ("json", "msgpack", "parameters", "vuer_msg")


class Stream:
    """One stream of a session. A stream has one kind: that of what is logged first.

    Every `log…` returns at once, without waiting for network or disk, from any thread; True when taken, False when there
    is no room left and the newest is dropped (and counted in `robot.stats.dropped`). A time `t` is float seconds, int
    nanoseconds, an aware datetime, or None for now.

    All raise `Refused` for what no server would take, and `ClientError` once the robot is closed or was refused for good.
    """

    def __init__(self, name: str, intake: Callable[[], Intake], metadata: Mapping[str, Any] | None = None) -> None:
        self.name = check_stream(name)
        self._intake = intake
        self._metadata = dict(metadata) if metadata else None
        self._frames = 0
        self._lock = threading.Lock()

    def log(self, t: Time, sample: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None) -> bool:
        """One sample: nested maps, lists and arrays of numbers, booleans, text and None, flattened to dotted channels.

        Samples travel together, columnar, when they have the same channels; ints stay int64, floats stay float64.

        Args:
            t: when.
            sample: by channel; what is nested gets dotted names, lists count.
            metadata: merged into the stream's.
        """
        names, values = flatten(sample)
        intake = self._intake()
        return self._took(intake.sample(self.name, to_ns(t), names, values, self._own_metadata(metadata)))

    def log_batch(
        self,
        t_ns: npt.NDArray[np.int64] | list[int],
        channels: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Many samples at once, as columns.

        Args:
            t_ns: Unix nanoseconds, shape (n,).
            channels: by dotted name an array of shape (n,), which keeps its dtype, or a list of n values.
            metadata: merged into the stream's.

        Returns:
            True when all was taken; False when any of it had no room.
        """
        intake = self._intake()
        own = self._own_metadata(metadata)
        taken = True
        for payload, samples in columns_of_arrays(t_ns, channels, intake.split_bytes):
            taken &= intake.message(encode_draft(Message(self.name, "time_series", payload, metadata=own), samples))
        return self._took(taken)

    def log_image(
        self,
        t: Time,
        image: str | Path | bytes | npt.NDArray[Any],
        *,
        role: str | None = None,
        format: str | None = None,  # noqa: A002 - the field's name on the wire
        frame_number: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """A picture, a depth image or a point cloud.

        Args:
            t: when.
            image: an encoded file, by path or as bytes, sent as it is; or an array, encoded here as PNG without loss:
                uint8 (height, width), (…, 3) RGB or (…, 4) RGBA; uint16 (height, width), which is depth.
            role: `rgb`, `depth` or `pointcloud`; told from the image when None.
            format: `jpeg`, `png`, `webp`, `tiff`, `avif`, `ply`, `pcd` or `draco`; told from the bytes when None.
            frame_number: counted per stream when None.
            metadata: the frame's own.

        Raises:
            OSError: the file cannot be read.
        """
        t_ns = to_ns(t)
        payload = image_payload(image, role, format)
        with self._lock:
            payload["frame_number"] = self._frames if frame_number is None else frame_number
            self._frames = payload["frame_number"] + 1
        payload["camera_id"] = self.name
        if metadata:
            payload["metadata"] = dict(metadata)
        return self._send("images", t_ns, payload, None)

    def log_record(
        self,
        t: Time,
        data: bytes | str | Path | None = None,
        kind: str = "file",
        *,
        value: Any = _NO_VALUE,
        name: str | None = None,
        mime_type: str | None = None,
        payload: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """A record of any other kind: bytes or text as they are, the content of the file at a `Path`, or a value.

        Args:
            t: when.
            data: bytes, text, or a `Path` to read.
            kind: one of the kinds; `file` takes anything.
            value: instead of `data`, for `json`, `msgpack` and `vuer_msg`: what the document holds, for `parameters`: its
                values. In a `vuer_msg` numpy arrays are arrays, at any depth.
            name: of the file; a `Path` brings its own.
            mime_type: what it is; the server looks for itself when None.
            payload: the kind's own fields, such as `mode` of parameters or `time_column` of a csv.
            metadata: merged into the stream's.

        Raises:
            OSError: the file cannot be read.
        """
        kind = kind_of(kind)
        if kind in ("time_series", "images", "log"):
            raise Refused("wrong_type", f"log_record does not take the kind {kind}")
        if (data is None) == (value is _NO_VALUE):
            raise Refused("missing_field", "a record has either data or a value")
        if isinstance(data, Path):
            name = data.name if name is None else name
            data = data.read_bytes()
        fields = {"data": data} if data is not None else _value_payload(kind, value)
        fields = {**(payload or {}), **fields}
        if name is not None:
            fields["name"] = name
        if mime_type is not None:
            fields["mime_type"] = mime_type
        return self._send(kind, to_ns(t), fields, metadata)

    def log_text(self, t: Time, message: str, *, level: str = "info", logger: str | None = None, **fields: Any) -> bool:
        """A log line.

        Args:
            t: when.
            message: the line.
            level: `debug`, `info`, `warning`, `error` or what the robot calls it.
            logger: who says it.
            fields: more about it.
        """
        payload = {**fields, "level": level, "message": message}
        if logger is not None:
            payload["logger"] = logger
        return self._send("log", to_ns(t), payload, None)

    def _send(self, kind: str, t_ns: int, payload: dict[str, Any], metadata: Mapping[str, Any] | None) -> bool:
        own = self._own_metadata(metadata)
        return self._took(self._intake().message(encode_draft(Message(self.name, kind, payload, t_ns, own), 1)))

    def _own_metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A message's metadata: the first one of a stream bears the stream's."""
        if metadata:
            return {**(self._metadata or {}), **metadata}
        return self._metadata

    def _took(self, taken: bool) -> bool:
        """Once a message was taken, the stream's metadata is on its way."""
        if taken:
            self._metadata = None
        return taken


def _value_payload(kind: str, value: Any) -> dict[str, Any]:
    if kind not in _VALUE_KINDS:
        raise Refused("wrong_type", f"the kind {kind} has no value, only data; {', '.join(_VALUE_KINDS)} have")
    if kind == "parameters":
        return {"values": value}
    return {"value": to_vuer(value) if kind == "vuer_msg" else value}
