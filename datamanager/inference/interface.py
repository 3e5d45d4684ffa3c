"""What enrichment will ask of a model. Nothing implements it yet: the engine is to come, and ingest does not wait for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

__all__ = ["Model", "ModelInfo", "Task"]

Task = Literal["detect", "classify", "embed", "segment", "raw"]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's manifest.

    Attributes:
        name: as it stands in S3: `models/{name}/{version}/`.
        task: what its outputs mean.
        checksum: SHA-256 of the model file, hexadecimal.
        providers: the ONNX Runtime providers that really loaded, the one in use first.
    """

    name: str
    version: str
    task: Task
    checksum: str
    providers: tuple[str, ...]


class Model(Protocol):
    """One loaded model. A call may take long: it belongs on a thread, never on the event loop."""

    @property
    def info(self) -> ModelInfo:
        """Its manifest."""
        ...

    def run(self, batch: Sequence[Mapping[str, Array]]) -> list[Mapping[str, Array]]:
        """One output per input, in order.

        Args:
            batch: for each item, input name to array, without the batch axis, in the dtypes that the manifest names.

        Raises:
            DatamanagerError: the model failed; the whole batch did.
        """
        ...
