"""The manifest of a model that somebody brings: read from a file, or made of what the command line says."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from datamanager.errors import ConfigError

__all__ = ["TASKS", "make_manifest", "version_of"]

TASKS = ("detect", "classify", "embed", "segment", "raw")
_SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?\Z")
_VERSION_DIGITS = 12


def make_manifest(
    name: str,
    *,
    file: Path | None = None,
    task: str | None = None,
    input_size: str | None = None,
    fit: str | None = None,
    options: Mapping[str, Any] | None = None,
    detect: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A manifest, as JSON has it, without a version unless the file says one.

    Args:
        name: of the model.
        file: a manifest that is gone out from.
        task: overrides the file's, as does all that follows.
        input_size: `640`, or `640x480`: width and height in pixels; None: the model says it itself.
        fit: how pictures come to that size.
        options: fields of the manifest; None: not said.
        detect: fields of its part `detect`; None: not said.

    Raises:
        ConfigError: something cannot be read, or is missing.
    """
    manifest: dict[str, Any] = {} if file is None else _read(file)
    manifest |= {"name": name} | _said({"task": task} | dict(options or {}))
    if "task" not in manifest:
        raise ConfigError(f"--task must say what the model does: {', '.join(TASKS)}")
    if input_size is not None:
        width, height = _size(input_size)
        manifest["input"] = {**(manifest.get("input") or {}), "width": width, "height": height}
    if fit is not None:
        if not manifest.get("input"):
            raise ConfigError("--fit needs --input-size: the size that pictures come to")
        manifest["input"] = {**manifest["input"], "fit": fit}
    if said := _said(detect or {}):
        manifest["detect"] = {**(manifest.get("detect") or {}), **said}
    return manifest


def version_of(manifest: Mapping[str, Any], checksum: str) -> str:
    """A version made of the file and its manifest: the same again give the same one, and nothing else does."""
    rest = {key: value for key, value in manifest.items() if key not in ("name", "version", "checksum")}
    text = msgspec.json.encode([checksum, rest], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:_VERSION_DIGITS]


def _read(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as exc:
        raise ConfigError(f"--manifest {file}: {exc.strerror or exc}") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"--manifest {file} is no JSON object: {exc}") from exc


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.match(text)
    if match is None:
        raise ConfigError(f"--input-size {text!r} must be pixels: 640, or 640x480 for width and height")
    return int(match[1]), int(match[2] or match[1])


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
