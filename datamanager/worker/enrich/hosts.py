"""Models in processes of their own: loaded, asked, replaced by a newer version without losing a frame."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from datamanager.config import InferenceConfig
from datamanager.errors import DatamanagerError, ProcessDied
from datamanager.inference.host import FrameAnswer, FramePicture, Loaded, ModelFailed, infer, load
from datamanager.inference.manifest import Manifest
from datamanager.observability import get_logger
from datamanager.processes import ProcessPool

__all__ = ["ModelFile", "ModelHost"]

_log = get_logger(__name__)
_NVIDIA = Path("/proc/driver/nvidia/version")
_LOAD_S = 180.0  # TensorRT builds its engines while a model loads


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as it lies on this machine."""

    manifest: Manifest
    path: Path


class ModelHost:
    """One version of one model, in a child process that is started anew when it dies.

    Attributes:
        loaded: the model, as it stands ready; None while it does not.
        has_answered: whether the process that there is has looked at frames.

    Args:
        file: the model.
        config: device and threads.
    """

    def __init__(self, file: ModelFile, config: InferenceConfig) -> None:
        self.file = file
        self._config = config
        # A GPU's driver maps far more than a model takes, and would not load under a limit.
        on_gpu = config.device == "cuda" or (config.device == "auto" and _NVIDIA.exists())
        self._pool = ProcessPool(
            1,
            timeout_s=file.manifest.timeout_s,
            memory_bytes=None if on_gpu else file.manifest.memory_bytes,
            eager=False,
            preload=["datamanager.inference.host"],
        )
        self.loaded: Loaded | None = None
        self.has_answered = False
        self._loading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def load(self) -> Loaded:
        """Loads the model and warms it up, unless it stands ready.

        Raises:
            ModelFailed: it cannot be loaded.
        """
        async with self._loading:
            if self.loaded is None:
                manifest, config = self.file.manifest, self._config
                try:
                    self.loaded = await self._pool.run_for(
                        _LOAD_S, load, str(self.file.path), manifest, config.device, config.threads
                    )
                except ProcessDied as died:
                    raise _failed(died) from died
                except (DatamanagerError, MemoryError, OSError) as exc:
                    raise ModelFailed("memory" if isinstance(exc, MemoryError) else "other", _text(exc)) from exc
                _log.info(
                    "model is loaded",
                    model=manifest.name,
                    version=manifest.version,
                    providers=list(self.loaded.providers),
                    warm_up_s=round(self.loaded.warm_up_s, 2),
                )
            return self.loaded

    async def infer(self, frames: Sequence[FramePicture], options: Mapping[str, Any]) -> list[FrameAnswer]:
        """What the model says of each frame, in order.

        Raises:
            ModelFailed: the call failed, with all of its frames.
        """
        await self.load()
        try:
            answers = await self._pool.run(infer, frames, options)
        except ProcessDied as died:
            self._is_gone()
            raise _failed(died) from died
        except MemoryError as exc:
            raise ModelFailed("memory", _text(exc)) from exc
        except DatamanagerError as exc:
            raise ModelFailed("other", _text(exc)) from exc
        self.has_answered = True
        return answers

    async def renew(self) -> None:
        """Ends the process: what a failure left behind in it goes with it. The next call starts another one."""
        self._is_gone()
        await self._pool.renew()

    def _is_gone(self) -> None:
        self.loaded, self.has_answered = None, False  # the process that takes its place has no model yet


def _failed(died: ProcessDied) -> ModelFailed:
    return ModelFailed("timeout" if died.by_limit else "other", died.detail)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
