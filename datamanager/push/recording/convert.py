"""What a message of a known schema becomes: a log line, a picture, a cloud, a piece of video; else samples."""

from collections.abc import Callable, Mapping
from typing import Any

from datamanager.client.media import sniff_format
from datamanager.client.png import encode_png
from datamanager.errors import Refused
from datamanager.push.recording.clouds import CloudField, pcd_of
from datamanager.push.recording.decode import Undecodable, bytes_of
from datamanager.push.recording.pictures import pixels_of

__all__ = ["Converted", "convert", "kind_of_schema"]

Converted = tuple[str, dict[str, Any]]
"""A kind, and a payload of it."""

_FOXGLOVE_LEVELS = ("unknown", "debug", "info", "warning", "error", "fatal")
# sensor_msgs/msg/PointField
_ROS_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
# foxglove.PackedElementField.NumericType
_FOXGLOVE_TYPES = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}


def kind_of_schema(name: str) -> str | None:
    """The kind that a schema's messages become; None: samples."""
    found = _CONVERTERS.get(_short(name))
    return None if found is None else found[0]


def convert(schema: str, value: Mapping[str, Any]) -> Converted | None:
    """What a decoded message of a known schema becomes; None where it is to be flattened into samples.

    Raises:
        Undecodable: it is not as its schema says, or has no form that is kept.
    """
    found = _CONVERTERS.get(_short(schema))
    if found is None:
        return None
    kind, function = found
    try:
        return kind, function(value)
    except Refused as refused:
        raise Undecodable(refused.detail) from refused
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Undecodable(f"it is no {schema}: {exc!r}"[:200]) from exc


def _short(schema: str) -> str:
    """`sensor_msgs/msg/Image`, as ROS 2 says it, as ROS 1 did."""
    return schema.replace("/msg/", "/")


def _foxglove_log(value: Mapping[str, Any]) -> dict[str, Any]:
    level = value.get("level", 0)
    if isinstance(level, int) and 0 <= level < len(_FOXGLOVE_LEVELS):
        level = _FOXGLOVE_LEVELS[level]
    return _log_of(value, level, "message")


def _ros_log(value: Mapping[str, Any]) -> dict[str, Any]:
    return _log_of(value, value["level"], "msg")


def _log_of(value: Mapping[str, Any], level: Any, text: str) -> dict[str, Any]:
    payload = {"message": str(value[text]), "level": level, "logger": str(value.get("name", ""))}
    return payload | {name: value[name] for name in ("file", "function", "line") if value.get(name)}


def _compressed_image(value: Mapping[str, Any]) -> dict[str, Any]:
    data = bytes_of(value["data"])
    found = sniff_format(data)
    if found is None:
        raise Undecodable(f"a picture of no known format ({str(value.get('format'))[:40]!r})")
    return {"data": data, "format": found}


def _compressed_video(value: Mapping[str, Any]) -> dict[str, Any]:
    if value.get("format") != "h264":
        raise Undecodable(f"video of format {str(value.get('format'))[:40]!r}")
    return {"data": bytes_of(value["data"]), "format": "h264"}


def _raw_image(value: Mapping[str, Any]) -> dict[str, Any]:
    encoding = str(value["encoding"])
    pixels = pixels_of(
        int(value["width"]),
        int(value["height"]),
        encoding,
        int(value["step"]),
        bytes_of(value["data"]),
        big_endian=bool(value.get("is_bigendian")),
    )
    depth = encoding == "16UC1" or (encoding == "mono16" and pixels.dtype.itemsize > 1)
    return {"data": encode_png(pixels), "format": "png", "role": "depth" if depth else "rgb"}


def _point_cloud2(value: Mapping[str, Any]) -> dict[str, Any]:
    fields = [
        CloudField(str(f["name"]), int(f["offset"]), _ROS_TYPES[int(f["datatype"])], max(1, int(f["count"])))
        for f in value["fields"]
    ]
    width, height = int(value["width"]), int(value["height"])
    data = pcd_of(
        fields,
        points=width * height,
        width=width,
        stride=int(value["point_step"]),
        row_step=int(value["row_step"]) or None,
        data=bytes_of(value["data"]),
        big_endian=bool(value["is_bigendian"]),
    )
    return {"data": data, "format": "pcd", "role": "pointcloud"}


def _foxglove_cloud(value: Mapping[str, Any]) -> dict[str, Any]:
    stride, data = int(value["point_stride"]), bytes_of(value["data"])
    fields = [CloudField(str(f["name"]), int(f["offset"]), _FOXGLOVE_TYPES[int(f["type"])]) for f in value["fields"]]
    points = len(data) // stride if stride > 0 else 0
    return {
        "data": pcd_of(fields, points=points, width=points, stride=stride, data=data),
        "format": "pcd",
        "role": "pointcloud",
    }


_CONVERTERS: dict[str, tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "foxglove.Log": ("log", _foxglove_log),
    "foxglove_msgs/Log": ("log", _foxglove_log),
    "rcl_interfaces/Log": ("log", _ros_log),
    "rosgraph_msgs/Log": ("log", _ros_log),
    "foxglove.CompressedImage": ("images", _compressed_image),
    "foxglove_msgs/CompressedImage": ("images", _compressed_image),
    "sensor_msgs/CompressedImage": ("images", _compressed_image),
    "foxglove.CompressedVideo": ("video", _compressed_video),
    "foxglove_msgs/CompressedVideo": ("video", _compressed_video),
    "foxglove.RawImage": ("images", _raw_image),
    "foxglove_msgs/RawImage": ("images", _raw_image),
    "sensor_msgs/Image": ("images", _raw_image),
    "sensor_msgs/PointCloud2": ("images", _point_cloud2),
    "foxglove.PointCloud": ("images", _foxglove_cloud),
    "foxglove_msgs/PointCloud": ("images", _foxglove_cloud),
}
