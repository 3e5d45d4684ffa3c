"""Columnar payloads: `{"t_ns": [...], "channels": {name: [...]}}`, each a list or little-endian bytes."""

import base64
import binascii
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from datamanager.errors import Refused
from datamanager.kinds.time_series.types import column_from_values

__all__ = ["Columns", "is_columnar", "parse_columns"]

_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
}
_MAX_NAME = 512
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Columns:
    """One columnar message.

    Attributes:
        t_ns: int64 [n], Unix nanoseconds, in the order sent.
        names: the channels, sorted.
        buffers: little-endian float64 bytes [n] per channel when every channel came so, else None.
        arrays: Arrow columns [n] per channel otherwise.
    """

    t_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    names: tuple[str, ...]
    buffers: list[bytes] | None
    arrays: list[pa.Array] | None

    @property
    def size_bytes(self) -> int:
        """Bytes that the columns take in a block, roughly; a boolean counts as a byte."""
        if self.buffers is not None:
            return 16 * len(self.t_ns) + sum(map(len, self.buffers))
        bits = sum(7 * len(array) // 8 for array in self.arrays or () if pa.types.is_boolean(array.type))
        return 16 * len(self.t_ns) + int(sum(array.nbytes for array in self.arrays or ())) + bits


def is_columnar(payload: dict[object, object]) -> bool:
    """Whether a payload is columnar rather than one nested sample."""
    return "t_ns" in payload and "channels" in payload


def parse_columns(payload: dict[object, object], *, max_channels: int, from_json: bool) -> Columns:
    """Checks and converts a columnar payload.

    Raises:
        Refused: `wrong_type`, `bad_payload` (lengths that differ, unknown dtypes, values that are no scalars),
            `bad_time`, `too_large` (too many channels).
    """
    channels = payload["channels"]
    if type(channels) is not dict:
        raise Refused("wrong_type", f"channels must be a map, not {type(channels).__name__}")
    if not channels:
        raise Refused("bad_payload", "channels is empty")
    if len(channels) > max_channels:
        raise Refused("too_large", f"the batch has {len(channels)} channels, {max_channels} are allowed")
    dtypes = payload.get("dtypes") or {}
    if type(dtypes) is not dict:
        raise Refused("wrong_type", f"dtypes must be a map, not {type(dtypes).__name__}")
    coded = payload.get("encoding") == "base64"
    t_ns = _times(_unpacked(payload["t_ns"], "t_ns") if coded else payload["t_ns"])
    names = _names(channels)
    values = [channels[name] for name in names]
    if coded:
        values = [_unpacked(value, name) for name, value in zip(names, values, strict=True)]
    if not dtypes and set(map(type, values)) == {bytes} and set(map(len, values)) == {8 * len(t_ns)}:
        return Columns(t_ns, names, values, None)
    arrays = [_column(n, v, dtypes.get(n), len(t_ns), from_json=from_json) for n, v in zip(names, values, strict=True)]
    return Columns(t_ns, names, None, arrays)


def _names(channels: dict[object, object]) -> tuple[str, ...]:
    names: list[str] = []
    for name in channels:
        if type(name) is not str:
            raise Refused("wrong_type", f"a channel's name must be a string, not {type(name).__name__}")
        if not 0 < len(name) <= _MAX_NAME:
            raise Refused("bad_payload", f"a channel's name has 1 to {_MAX_NAME} characters: {name[:80]!r}")
        if not name.isascii():
            column_from_values([name], from_json=False)  # refuses what is no Unicode text
        names.append(name)
    return tuple(sorted(names))


def _unpacked(value: object, name: str) -> object:
    if type(value) is not str:
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused("bad_payload", f"{name[:80]!r} is not base64: {exc}") from exc


def _times(value: object) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if type(value) is bytes:
        if len(value) % 8:
            raise Refused("bad_payload", f"t_ns has {len(value)} bytes, which is no whole number of int64")
        t_ns = np.frombuffer(value, "<i8")
    elif type(value) is list:
        if not set(map(type, value)) <= {int}:
            raise Refused("wrong_type", "t_ns must be a list of integers or int64 bytes")
        if any(not 0 <= t <= _INT64_MAX for t in value):
            raise Refused("bad_time", "t_ns holds a time outside [0, 2^63): nothing before 1970 is taken")
        t_ns = np.array(value, np.int64)
    else:
        raise Refused("wrong_type", f"t_ns of a columnar payload must be a list or bytes, not {type(value).__name__}")
    if len(t_ns) == 0:
        raise Refused("bad_payload", "t_ns is empty")
    if t_ns.min() < 0:
        raise Refused("bad_time", "t_ns holds a time outside [0, 2^63): nothing before 1970 is taken")
    return t_ns


def _column(name: str, value: object, dtype: object, n: int, *, from_json: bool) -> pa.Array:
    if type(value) is bytes:
        return _from_bytes(name, value, "float64" if dtype is None else dtype, n)
    if type(value) is not list:
        raise Refused("wrong_type", f"channel {name[:80]!r} must be a list or bytes, not {type(value).__name__}")
    if len(value) != n:
        raise Refused("bad_payload", f"channel {name[:80]!r} has {len(value)} values for {n} times")
    try:
        return column_from_values(value, from_json=from_json)
    except Refused as refused:
        raise Refused(refused.code, f"channel {name[:80]!r}: {refused.detail}") from refused  # type: ignore[arg-type]  # a code stays that code


def _from_bytes(name: str, value: bytes, dtype: object, n: int) -> pa.Array:
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else None
    if kind is None:
        raise Refused(
            "bad_payload", f"channel {name[:80]!r}: dtype {str(dtype)[:40]!r} is none of {', '.join(_DTYPES)}"
        )
    if len(value) != n * kind.itemsize:
        raise Refused("bad_payload", f"channel {name[:80]!r} has {len(value)} bytes for {n} values of {dtype}")
    values = np.frombuffer(value, kind)
    if kind.kind == "u" and kind.itemsize == 8 and len(values) and values.max() > _INT64_MAX:
        raise Refused("bad_payload", f"channel {name[:80]!r} holds an integer beyond int64")
    if kind.kind == "b":
        return pa.array(np.frombuffer(value, np.uint8) != 0)
    if kind.kind in "iu":
        return pa.array(values.astype(np.int64))
    return pa.array(values.astype(np.float32) if kind.itemsize == 2 else values)
