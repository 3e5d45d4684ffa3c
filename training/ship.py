"""Puts a model into the package: the file, its manifest, and where it came from."""

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import onnx

from datamanager.inference.manifest import Manifest

__all__ = ["ZOO", "Made", "origin", "ship"]

ZOO = Path(__file__).resolve().parents[1] / "datamanager" / "inference" / "zoo"
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Made:
    """A model that was made.

    Attributes:
        model: checked.
        manifest: without its checksum.
        seed: of everything random in its making; None where nothing is.
        measured: its quality, by name, on data that its making never saw.
    """

    model: onnx.ModelProto
    manifest: Manifest
    seed: int | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        data: bytes = self.model.SerializeToString(deterministic=True)
        return data


def ship(made: Made, script: str, began_s: float, zoo: Path = ZOO) -> Path:
    """Writes `model.onnx`, `manifest.json` and `origin.json` into `{zoo}/{name}/{version}`, and says so.

    Args:
        made: what is written.
        script: the module that made it.
        began_s: `time.perf_counter()` when its making began.
        zoo: the folder of all models.

    Returns:
        The folder.

    Raises:
        ValueError: the model is larger than what may come with the package.
    """
    data = made.data
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes are more than {MAX_BYTES}")
    checksum = hashlib.sha256(data).hexdigest()
    folder = zoo / made.manifest.name / made.manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    _write_json(folder / "manifest.json", msgspec.structs.replace(made.manifest, checksum=checksum))
    _write_json(folder / "origin.json", origin(made, script, checksum, time.perf_counter() - began_s))
    print(f"{folder.relative_to(zoo)}: {len(data):,} bytes, sha256 {checksum}")
    return folder


def origin(made: Made, script: str, checksum: str, took_s: float) -> dict[str, Any]:
    """Where a model came from: what `origin.json` says."""
    python = ".".join(map(str, sys.version_info[:3]))
    versions = {"python": python, "onnx": onnx.__version__}
    if (torch := sys.modules.get("torch")) is not None:
        versions["torch"] = str(torch.__version__)
    return {
        "command": f"python -m {script}",
        "seed": made.seed,
        "checksum": checksum,
        "seconds": round(took_s, 1),
        "versions": versions,
        "measured": dict(made.measured),
    }


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
