"""What the detector is held against: made scenes that no training saw."""

from typing import Any

import numpy as np
import onnxruntime as ort

from training.boxes import decoded, letterboxed, scored
from training.scenes import Scene, made_scene, weather
from training.sprites import CLASSES

__all__ = ["CONFIDENCE", "EVAL_SCENES", "EVAL_SEED", "SIZE", "held_out", "measured"]

SIZE = 320
"""Width and height of the input that it is meant for, pixels."""

CONFIDENCE = 0.5
EVAL_SEED, EVAL_SCENES = 9000, 400


def held_out(count: int, seed: int = EVAL_SEED) -> list[Scene]:
    """Scenes that no training saw, weathered."""
    rng = np.random.default_rng(seed)
    scenes = [made_scene(rng) for _ in range(count)]
    return [Scene(weather(rng, scene.pixels), scene.boxes) for scene in scenes]


def measured(model: bytes, scenes: list[Scene] | None = None) -> dict[str, Any]:
    """How good the exported file is on held-out scenes, by ONNX Runtime."""
    scenes = held_out(EVAL_SCENES) if scenes is None else scenes
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found, true = [], []
    for scene in scenes:
        square, _, x, y = letterboxed(scene.pixels, SIZE)
        found.append(decoded(session.run(None, {"images": square[None]})[0][0], 0.01))
        true.append(scene.boxes + np.array([0, x, y, x, y], np.float32))
    scores = scored(found, true, CONFIDENCE)
    return {
        "scenes": len(scenes),
        "objects": sum(map(len, true)),
        "map50": round(scores.map50, 3),
        "map50_95": round(scores.map50_95, 3),
        "confidence": CONFIDENCE,
        "precision": round(scores.precision, 3),
        "recall": round(scores.recall, 3),
        "map50_by_class": {CLASSES[c]: round(value, 3) for c, value in scores.by_class.items()},
    }
