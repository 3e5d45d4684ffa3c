"""What of a block's columns is looked at: numbers as float64, and the words of the channel that is to be told from others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datamanager.errors import Refused
from datamanager.inference.online.spec import OnlineSpec
from datamanager.storage.blocks import SYSTEM_COLUMNS

__all__ = ["MAX_CHANNELS", "Samples", "samples_of"]

MAX_CHANNELS = 512
"""A stream of which more are looked at is refused: its rule has to say which."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples as they are looked at: times int64 [n], float64 [n] by channel, and words where the target has some."""

    t_ns: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[np.float64]]
    labels: Sequence[str | None] | None


def samples_of(batch: pa.RecordBatch, spec: OnlineSpec) -> Samples:
    """The samples of a block; its columns are `t_ns`, `seq` and then its channels.

    Raises:
        Refused: `too_large` when too many channels are looked at.
    """
    columns: dict[str, npt.NDArray[np.float64]] = {}
    labels: Sequence[str | None] | None = None
    target = None if spec.learn is None else spec.learn.target
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if batch.schema.get_field_index(field.name) < SYSTEM_COLUMNS:
            continue
        if _is_number(field.type):
            if spec.wants(field.name) or field.name == target:
                columns[field.name] = _floats(column)
        elif field.name == target and not pa.types.is_null(field.type):
            labels = column.to_pylist()
    if len(columns) > MAX_CHANNELS:
        detail = f"{len(columns)} channels are looked at, {MAX_CHANNELS} are the most: let options.channels say which"
        raise Refused("too_large", detail)
    return Samples(batch.column(0).to_numpy(), columns, labels)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found
