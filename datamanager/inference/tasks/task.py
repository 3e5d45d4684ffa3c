"""What a task is: two functions, one that checks a model when it is opened and one that reads its outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.inference.answers import FrameAnswer
from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.inference.placement import Placement
from datamanager.inference.tasks.choice import Choice

__all__ = ["Array", "Call", "FrameTask", "Outputs", "Shapes", "floats"]

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Call:
    """What the outputs of one call are about.

    Attributes:
        manifest: of the model, completed.
        spec: its input.
        choice: which boxes and classes are wanted.
        placements: where each picture lay in the input; as many as the outputs have rows.
        has_previous: of each picture, whether the model saw the one before it.
    """

    manifest: Manifest
    spec: FrameInput
    choice: Choice
    placements: Sequence[Placement]
    has_previous: Sequence[bool]

    def answer(self, row: int, **found: Any) -> FrameAnswer:
        """What was found in one picture, with its size."""
        at = self.placements[row]
        return FrameAnswer(at.width, at.height, **found)

    def name(self, class_id: int) -> str:
        """A class's name; its number where the model has no name for it."""
        names = self.manifest.classes
        return names[class_id] if 0 <= class_id < len(names) else str(class_id)


@dataclass(frozen=True, slots=True)
class FrameTask:
    """A task that looks at frames.

    Attributes:
        complete: the manifest, completed by the shapes of the outputs of one picture and by the model's metadata; raises
            `Refused` `bad_payload` where the outputs are not the task's.
        read: an answer for each picture of a call.
    """

    complete: Callable[[Manifest, Shapes, Mapping[str, str]], Manifest]
    read: Callable[[Outputs, Call], list[FrameAnswer]]


def floats(values: Array) -> npt.NDArray[np.float32]:
    """As float32, without a copy where they are."""
    return np.asarray(values, np.float32)
