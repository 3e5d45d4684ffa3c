"""Anomaly models of telemetry: each in a child process of its own, in whichever version is in use."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from datamanager.config import InferenceConfig
from datamanager.errors import ProcessDied
from datamanager.inference.host import ModelFailed, load, run_arrays
from datamanager.inference.manifest import Manifest, read_manifest
from datamanager.inference.online.channel_windows import Question, WindowShape
from datamanager.processes import ProcessPool
from datamanager.storage.model_documents import StoredModel
from datamanager.storage.models import Models

__all__ = ["TelemetryModel", "TelemetryModels"]

_LOAD_S = 180.0


@dataclass(slots=True)
class TelemetryModel:
    """A model that stands ready, or is loaded with its first question."""

    manifest: Manifest
    shape: WindowShape
    path: Path
    pool: ProcessPool
    is_loaded: bool = False


class TelemetryModels:
    """The models that rules name. Leaving it ends their processes."""

    def __init__(self, models: Models, config: InferenceConfig, folder: Path) -> None:
        self._models = models
        self._config = config
        self._folder = folder
        self._stamp: str | None = None
        self._known: dict[str, StoredModel] = {}
        self._open: dict[str, TelemetryModel] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def get(self, name: str) -> TelemetryModel:
        """The version in use of a model.

        Raises:
            ModelFailed: there is none, or it is none of telemetry.
            Unavailable: a server does not answer.
        """
        async with self._lock:
            if (newer := await self._models.newer(self._stamp)) is not None:
                self._stamp, self._known = newer[0], dict(newer[1])
            stored = self._known.get(name)
            if stored is None:
                raise ModelFailed("other", f"there is no model {name!r} in use")
            there = self._open.get(name)
            if there is None or there.manifest.version != stored.version:
                manifest = read_manifest(stored.manifest)
                shape = WindowShape.of(manifest)
                path = await self._models.fetch(stored, self._folder)
                pool = await self._stack.enter_async_context(self._pool(manifest))
                there = self._open[name] = TelemetryModel(manifest, shape, path, pool)
            return there

    async def scores(self, model: TelemetryModel, questions: Sequence[Question]) -> list[tuple[float, str] | None]:
        """Of each question the largest score and its channel; None where nothing was asked.

        Raises:
            ModelFailed: the call failed.
        """
        rows = np.concatenate([np.empty((0, model.shape.window), np.float32), *(q.rows for q in questions)])
        most = model.manifest.max_batch
        parts = [await self._run(model, rows[at : at + most]) for at in range(0, len(rows), most)]
        scores = np.concatenate(parts) if parts else np.empty(0)
        found: list[tuple[float, str] | None] = []
        at = 0
        for question in questions:
            some = scores[at : at + len(question.channels)]
            at += len(question.channels)
            best = int(some.argmax()) if len(some) else 0
            found.append((float(some[best]), question.channels[best]) if len(some) else None)
        return found

    async def _run(self, model: TelemetryModel, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        try:
            if not model.is_loaded:
                config = self._config
                await model.pool.run_for(_LOAD_S, load, str(model.path), model.manifest, config.device, config.threads)
                model.is_loaded = True
            answer = await model.pool.run(run_arrays, {"windows": rows})
        except ProcessDied as died:
            model.is_loaded = False  # the process that takes its place has no model yet
            raise ModelFailed("timeout" if died.by_limit else "other", died.detail) from died
        return np.asarray(answer["score"], np.float64).reshape(len(rows))

    def _pool(self, manifest: Manifest) -> ProcessPool:
        return ProcessPool(
            1,
            timeout_s=manifest.timeout_s,
            memory_bytes=None if self._config.device == "cuda" else manifest.memory_bytes,
            eager=False,
            preload=["datamanager.inference.host"],
        )
