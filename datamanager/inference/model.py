"""An open model that looks at frames: pictures in, answers out."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.inference.answers import FrameAnswer, FramePicture, Loaded, ModelFailed
from datamanager.inference.engine import Array, Engine
from datamanager.inference.fitting import check_exported_task, fit_input, fixed_batch
from datamanager.inference.kept import KeptPictures
from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.inference.preprocess import Small, fill_tensor, shrink
from datamanager.inference.tasks import TASKS
from datamanager.inference.tasks.choice import Choice, choose
from datamanager.inference.tasks.task import Call
from datamanager.observability import get_logger

__all__ = ["FrameModel"]

_KEPT = 256  # pictures, for the frames after them
_KEPT_BYTES = 64 << 20  # that they may take together
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture that a call is made with."""

    row: int
    small: Small
    previous: Small | None


class FrameModel:
    """A model that looks at frames, warmed up.

    Args:
        engine: the open model.
        manifest: as stored.
        decoders: how many pictures are decoded at the same time.

    Raises:
        Refused: `bad_payload`: the manifest does not fit the model.
        ModelFailed: the first calls fail.
    """

    def __init__(self, engine: Engine, manifest: Manifest, decoders: int) -> None:
        self._engine = engine
        self._decoders = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        self._task = TASKS[manifest.task]
        check_exported_task(manifest, engine.metadata)
        manifest = fit_input(manifest, engine)
        self._spec = _spec(manifest)
        shape = (self._spec.height, self._spec.width, self._spec.channels)
        kept = min(_KEPT, _KEPT_BYTES // math.prod(shape)) if self._spec.previous else 0
        self._kept = KeptPictures(shape, kept)
        self._fixed = fixed_batch(next(tensor for tensor in engine.inputs if tensor.name == self._spec.name))
        started = time.perf_counter()
        first, most = self._warm_up(manifest.max_batch)
        shapes = {name: (1, *array.shape[1:]) for name, array in first.items()}
        manifest = msgspec.structs.replace(manifest, max_batch=most)
        self._manifest = self._task.complete(manifest, shapes, engine.metadata)
        choose(self._manifest, {})  # its own options are checked now, not with the first frame
        self.loaded = Loaded(self._manifest, engine.providers, time.perf_counter() - started, kept)

    def infer(self, frames: Sequence[FramePicture], options: Mapping[str, Any]) -> list[FrameAnswer]:
        """An answer for each frame, in their order.

        Raises:
            Refused: an option is wrong.
            ModelFailed: the call failed, and all of its frames with it.
        """
        choice = choose(self._manifest, options)
        answers: list[FrameAnswer] = [FrameAnswer()] * len(frames)
        seen = self._see(frames, answers)
        for start in range(0, len(seen), self._manifest.max_batch):
            part = seen[start : start + self._manifest.max_batch]
            for entry, answer in zip(part, self._look(part, choice), strict=True):
                answers[entry.row] = answer
        return answers

    def _see(self, frames: Sequence[FramePicture], answers: list[FrameAnswer]) -> list[_Seen]:
        """The pictures of the frames; a broken one is answered for, and left out."""
        decoded: dict[str, Small] = {}  # of this call: it may hold more pictures than are kept
        shrunk = list(self._decoders.map(self._shrink, (frame.data for frame in frames)))
        for row, (frame, small) in enumerate(zip(frames, shrunk, strict=True)):
            if isinstance(small, Small):
                decoded[frame.frame_id] = small
                self._kept.put(frame.frame_id, small)
            else:
                answers[row] = FrameAnswer(error=small)
        return [
            _Seen(row, decoded[frame.frame_id], self._previous(frame, decoded))
            for row, frame in enumerate(frames)
            if answers[row].error is None
        ]

    def _shrink(self, data: bytes) -> Small | str:
        """The picture, or why there is none."""
        try:
            return shrink(data, self._spec)
        except Refused as exc:
            return exc.detail
        except MemoryError:
            return "the picture does not fit into the memory of the model's process"

    def _previous(self, frame: FramePicture, decoded: Mapping[str, Small]) -> Small | None:
        """The picture before it; None where there is none, or where it is broken."""
        if not self._spec.previous or frame.previous_id is None:
            return None
        kept = decoded.get(frame.previous_id) or self._kept.get(frame.previous_id)
        if kept is not None or frame.previous is None:
            return kept
        small = self._shrink(frame.previous)
        if not isinstance(small, Small):
            return None
        self._kept.put(frame.previous_id, small)
        return small

    def _look(self, part: Sequence[_Seen], choice: Choice) -> list[FrameAnswer]:
        rows = self._fixed or len(part)
        feeds = {self._spec.name: fill_tensor([entry.small.pixels for entry in part], self._spec, rows)}
        if self._spec.previous:
            before = [(entry.previous or entry.small).pixels for entry in part]
            feeds[self._spec.previous] = fill_tensor(before, self._spec, rows)
        outputs = {name: array[: len(part)] for name, array in self._run(feeds, rows).items()}
        call = Call(
            self._manifest,
            self._spec,
            choice,
            [entry.small.placement for entry in part],
            [entry.previous is not None for entry in part],
        )
        return self._task.read(outputs, call)

    def _run(self, feeds: Mapping[str, Array], rows: int) -> dict[str, Array]:
        outputs = self._engine.run(feeds)
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                detail = f"output {name!r} is {array.shape} for {rows} pictures: its first side has to be theirs"
                raise Refused("bad_payload", detail)
        return outputs

    def _warm_up(self, most: int) -> tuple[dict[str, Array], int]:
        """Calls of the largest and of the smallest size: memory and kernels are had before the first frame comes.

        Returns:
            The outputs of the smallest, and how many pictures a call can have: half of `most` as often as memory is
            too little for more.
        """
        if self._fixed:
            return self._run_blank(self._fixed), most
        while most > 1:
            try:
                self._run_blank(most)
                break
            except ModelFailed as exc:
                if exc.trouble != "memory":
                    raise
                _log.warning("the batch is halved: memory is too little", max_batch=most, detail=exc.detail)
                most //= 2
        return self._run_blank(1), most

    def _run_blank(self, rows: int) -> dict[str, Array]:
        names = [name for name in (self._spec.name, self._spec.previous) if name]
        return self._run(dict.fromkeys(names, fill_tensor([], self._spec, rows)), rows)


def _spec(manifest: Manifest) -> FrameInput:
    if manifest.input is None:
        raise Refused("bad_payload", "the manifest says nothing of the input")
    return manifest.input
