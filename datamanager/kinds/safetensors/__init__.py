"""Kind `safetensors`: named tensors; only the header is read, whatever the file's size."""

from typing import Any

from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.safetensors.header import Header, Tensor, read_header
from datamanager.kinds.source import Source

__all__ = ["MIME_TYPE", "describe", "examine"]

# None is registered; this is what the format's own hub sends.
MIME_TYPE = "application/octet-stream"
_LISTED, _LISTED_BYTES = 256, 48 * 1024  # of a file's tensors, those that stand in its metadata
_KEYS, _KEY_CHARS, _VALUE_CHARS = 64, 128, 512


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:  # noqa: ARG001  # every kind is called alike
    """Checks the header and that the tensors fill the rest, to the byte. The numbers themselves are not read.

    Raises:
        Refused: `kind_mismatch`, `bad_payload` or `too_large`.
    """
    header = read_header(source, limits.max_header_bytes)
    return Found(MIME_TYPE, "safetensors", describe(header))


def describe(header: Header) -> dict[str, Any]:
    """What goes into a record's metadata: the first tensors in the file's order, and how many there are in all."""
    dtypes: dict[str, int] = {}
    for tensor in header.tensors:
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + 1
    return {
        "tensors": _listed(header),
        "tensor_count": len(header.tensors),
        "tensor_bytes": sum(tensor.size_bytes for tensor in header.tensors),
        "dtypes": dtypes,
        "file_metadata": _bounded(header.metadata),
        "file_metadata_count": len(header.metadata),
    }


def _listed(header: Header) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    room = _LISTED_BYTES
    for tensor in header.tensors[:_LISTED]:
        room -= _weight(tensor)
        if room < 0:
            break
        listed.append({"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)})
    return listed


def _weight(tensor: Tensor) -> int:
    return 4 * len(tensor.name) + 16 * len(tensor.shape) + 64


def _bounded(metadata: dict[str, str]) -> dict[str, str]:
    """As much as a document should hold: a key that it cannot hold stands in the file alone."""
    short = [(key, value) for key, value in metadata.items() if "\0" not in key and len(key) <= _KEY_CHARS]
    return {key: value[:_VALUE_CHARS] for key, value in short[:_KEYS]}
