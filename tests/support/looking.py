"""Opening a model and having it look at pictures, in this process."""

from pathlib import Path
from typing import Any

from datamanager.inference.host import FrameAnswer, FramePicture, infer, load
from datamanager.inference.manifest import Manifest, Task

__all__ = ["look", "manifest"]


def manifest(task: Task, **more: Any) -> Manifest:
    """A manifest that says no more than it has to."""
    return Manifest(name="m", version="1", task=task, **more)


def look(path: Path, of: Manifest, *pictures: bytes, **options: Any) -> list[FrameAnswer]:
    """What a model says of some pictures."""
    load(str(path), of, "cpu", 1)
    return infer([FramePicture(str(n), data) for n, data in enumerate(pictures)], options)
