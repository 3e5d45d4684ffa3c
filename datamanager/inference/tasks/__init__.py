"""The table of tasks: every one that looks at frames. Task `anomaly` looks at samples, and has no place here."""

from collections.abc import Mapping
from types import MappingProxyType

from datamanager.inference.manifest import Task
from datamanager.inference.tasks import classify, detect, embed, quality, raw, segment
from datamanager.inference.tasks.task import FrameTask

__all__ = ["TASKS"]

TASKS: Mapping[Task, FrameTask] = MappingProxyType(
    {
        "classify": classify.TASK,
        "detect": detect.TASK,
        "embed": embed.TASK,
        "quality": quality.TASK,
        "raw": raw.TASK,
        "segment": segment.TASK,
    }
)
