"""The models that come with datamanager are there soon after the start, and what others left is swept away."""

import asyncio
from collections.abc import Sequence

from datamanager.clock import Clock
from datamanager.errors import Unavailable
from datamanager.inference.zoo import ZooModel
from datamanager.observability import get_logger
from datamanager.playback.model_registry import new_model
from datamanager.storage.models import Models

__all__ = ["ModelKeeper"]

_log = get_logger(__name__)
_RETRY_S = 1.0
_SWEEP_S = 600.0


class ModelKeeper:
    """Run `run` as a task: it is in nobody's way, and ends with no error.

    Args:
        models: where they are kept.
        bundled: the models that come with datamanager.
        clock: tells the time.
    """

    def __init__(self, models: Models, bundled: Sequence[ZooModel], clock: Clock) -> None:
        self._models = models
        self._bundled = bundled
        self._clock = clock

    async def run(self) -> None:
        """Adds what is not there, and sweeps, until it is cancelled."""
        await self.seed()
        while True:
            await self._clock.sleep(_SWEEP_S)
            try:
                await self._models.sweep()
            except Unavailable as error:
                _log.warning("models are swept later", error=error.detail[:200])
            except Exception:  # noqa: BLE001  # the server must not stop for it
                _log.exception("models cannot be swept")

    async def seed(self) -> None:
        """Adds the models that come with datamanager, again and again while a server behind us does not answer."""
        for model in self._bundled:
            while True:
                try:
                    await self._add(model)
                except Unavailable as error:
                    _log.info("a model is added later", model=model.name, error=error.detail[:200])
                    await self._clock.sleep(_RETRY_S)
                    continue
                except Exception:  # noqa: BLE001  # the server must not stop for it
                    _log.exception("a model that comes with datamanager cannot be added", model=model.name)
                break

    async def _add(self, model: ZooModel) -> None:
        manifest, data = await asyncio.to_thread(lambda: (model.manifest, model.data()))
        if await self._models.seed(new_model(manifest, model.checksum, len(data), bundled=True), data):
            _log.info("a model that comes with datamanager was added", model=model.name, version=model.version)
