"""What a manifest has to be besides well-formed, before a model of it is kept."""

import re

from datamanager.errors import Refused
from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.kinds.names import check_id

__all__ = ["check_manifest"]

MAX_CLASSES = 10_000
MAX_SIDE = 8192
_CHECKSUM = re.compile(r"[0-9a-f]{64}\Z")


def check_manifest(manifest: Manifest) -> None:
    """Checks a manifest's values.

    Raises:
        Refused: `bad_id` or `bad_payload`; the detail names the field.
    """
    check_id(manifest.name, "manifest.name")
    check_id(manifest.version, "manifest.version")
    for field in ("output", "fallback"):
        if getattr(manifest, field):
            check_id(getattr(manifest, field), f"manifest.{field}")
    if manifest.fallback == manifest.name:
        raise Refused("bad_payload", "manifest.fallback must be another model")
    if manifest.checksum and _CHECKSUM.match(manifest.checksum) is None:
        raise Refused("bad_payload", "manifest.checksum must be a SHA-256: 64 hexadecimal digits in small letters")
    _between("max_batch", manifest.max_batch, 1, 1024)
    _between("timeout_s", manifest.timeout_s, 0.05, 600)
    _between("memory_bytes", manifest.memory_bytes, 1 << 26, 1 << 40)
    _between("detect.confidence", manifest.detect.confidence, 0, 1)
    _between("detect.iou", manifest.detect.iou, 0, 1)
    _between("detect.max_boxes", manifest.detect.max_boxes, 1, 10_000)
    _between("about's length", len(manifest.about), 0, 1000)
    _between("classes' number", len(manifest.classes), 0, MAX_CLASSES)
    if any(not 1 <= len(name) <= 128 for name in manifest.classes):
        raise Refused("bad_payload", "manifest.classes must be of 1 to 128 characters each")
    if manifest.input is not None:
        _check_input(manifest.input)


def _check_input(frame: FrameInput) -> None:
    _between("input.width", frame.width, 1, MAX_SIDE)
    _between("input.height", frame.height, 1, MAX_SIDE)
    _between("input.scale", frame.scale, -1e6, 1e6)
    for field in ("mean", "std"):
        values = getattr(frame, field)
        if len(values) not in (1, frame.channels):
            raise Refused("bad_payload", f"manifest.input.{field} must have one value, or one for each channel")
        for value in values:
            _between(f"input.{field}", value, -1e6, 1e6)
    if 0 in frame.std:
        raise Refused("bad_payload", "manifest.input.std must not be 0")
    for field in ("name", "previous"):
        _between(f"input.{field}'s length", len(getattr(frame, field)), 0, 256)


def _between(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Refused("bad_payload", f"manifest.{field} {value} must be {least} to {most}")
