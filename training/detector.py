"""`python -m training.detector`: a small detector in the layout of YOLO, trained on made scenes.

Nothing but a seed goes in. One thread, so that a run on the same processor gives the same bytes again.
"""

import argparse
import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from datamanager.inference.manifest import DetectOptions, FrameInput, Manifest
from training.detector_cases import CONFIDENCE, SIZE, measured
from training.detector_net import CLASSES, MAX_LOG, STRIDES, Net, exported
from training.scenes import Boxes, Pixels, Scene, made_scene, weather
from training.ship import Made, ship

__all__ = ["trained"]

SEED = 20
_TRAIN_SIZE = 256
_SCENES, _BATCH = 3000, 16
_LEVEL_SIDES = (40.0, 96.0)  # an object up to these is looked for at the first, the second stride; else at the last
_LEAST_SEEN = 0.35
_BOX_WEIGHT = 2.0
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Targets:
    """Per cell of all strides: the class, -1 where there is no object; and the object's box."""

    classes: npt.NDArray[np.int64]
    boxes: Floats


def main() -> None:
    """Trains, measures and ships."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1600)
    steps = parser.parse_args().steps
    began_s = time.perf_counter()
    model = exported(trained(steps), SIZE)
    manifest = Manifest(
        name="detector",
        version="1",
        task="detect",
        input=FrameInput(name="images", width=SIZE, height=SIZE),
        detect=DetectOptions(layout="yolo", confidence=CONFIDENCE),
        about="Balls, pillars, boxes and cones of made scenes: shows the whole path of a YOLO export, and is no more than that",
    )
    ship(Made(model, manifest, SEED, measured(model.SerializeToString())), "training.detector", began_s)


def trained(steps: int) -> Net:
    """A network after so many steps; of its weights the moving average."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    scenes = [made_scene(rng) for _ in range(_SCENES)]
    print(f"{len(scenes)} scenes")
    net = Net()
    kept = copy.deepcopy(net.layers)
    optimizer = torch.optim.AdamW(net.layers.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps, pct_start=0.15)
    began_s = time.perf_counter()
    for step in range(steps):
        images, targets = _batch(rng, scenes)
        loss = _loss(net(images), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.layers.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        _average(kept, net.layers, min(0.995, (step + 1) / (step + 10)))
        if step % 50 == 0:
            print(f"{step:5} loss {loss.item():.3f} {time.perf_counter() - began_s:.0f} s", flush=True)
    net.layers = kept.eval()
    return net


@torch.no_grad()  # type: ignore[untyped-decorator,unused-ignore]  # without PyTorch its types are not known
def _average(kept: Any, layers: Any, part: float) -> None:
    """Moves what is kept a little toward what is now."""
    for old, new in zip(kept.state_dict().values(), layers.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.mul_(part).add_(new, alpha=1 - part)


def _batch(rng: np.random.Generator, scenes: list[Scene]) -> tuple[Any, list[_Targets]]:
    """Scenes enlarged, cut, mirrored and weathered."""
    views = [_view(rng, scenes[int(at)]) for at in rng.integers(0, len(scenes), _BATCH)]
    images = np.stack([pixels for pixels, _ in views]).transpose(0, 3, 1, 2).astype(np.float32) / 255
    return torch.from_numpy(images), [_targets(boxes) for _, boxes in views]


def _view(rng: np.random.Generator, scene: Scene) -> tuple[Pixels, Boxes]:
    """A square of a scene, grey where the scene ends, and its boxes."""
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.4))))
    height, width = (round(side * scale) for side in scene.pixels.shape[:2])
    picture = np.asarray(Image.fromarray(scene.pixels).resize((width, height), Image.Resampling.BILINEAR))
    picture = weather(rng, picture)
    x, y = (int(rng.integers(min(0, _TRAIN_SIZE - side), max(0, _TRAIN_SIZE - side) + 1)) for side in (width, height))
    square = np.full((_TRAIN_SIZE, _TRAIN_SIZE, 3), 114, np.uint8)
    to_x, to_y = slice(max(x, 0), min(x + width, _TRAIN_SIZE)), slice(max(y, 0), min(y + height, _TRAIN_SIZE))
    square[to_y, to_x] = picture[to_y.start - y : to_y.stop - y, to_x.start - x : to_x.stop - x]
    boxes = scene.boxes.copy()
    boxes[:, 1:] = boxes[:, 1:] * scale + (x, y, x, y)
    whole = _areas(boxes)
    boxes[:, 1:] = np.clip(boxes[:, 1:], 0, _TRAIN_SIZE)
    boxes = boxes[_areas(boxes) > np.maximum(_LEAST_SEEN * whole, 16)]
    if rng.random() < 0.5:
        square = square[:, ::-1]
        boxes[:, [1, 3]] = _TRAIN_SIZE - boxes[:, [3, 1]]
    return square, boxes


def _areas(boxes: Boxes) -> Floats:
    return (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])


def _targets(boxes: Boxes) -> _Targets:
    """Cells near the middle of an object are to find it; where objects share one, the smaller has it."""
    middles, strides = _cells(_TRAIN_SIZE)
    targets = _Targets(np.full(len(middles), -1, np.int64), np.zeros((len(middles), 4), np.float32))
    for class_id, *box in boxes[np.argsort(-_areas(boxes), kind="stable")]:
        x1, y1, x2, y2 = box
        side = np.sqrt((x2 - x1) * (y2 - y1))
        stride = STRIDES[int(np.searchsorted(_LEVEL_SIDES, side))]
        away = np.abs(middles - ((x1 + x2) / 2, (y1 + y2) / 2))
        inside = (away < ((x2 - x1) / 2, (y2 - y1) / 2)).all(axis=1) & (away < 1.5 * stride).all(axis=1)
        inside &= strides == stride
        inside[np.argmin(away.sum(axis=1) + 1e6 * (strides != stride))] = True
        targets.classes[inside] = int(class_id)
        targets.boxes[inside] = box
    return targets


def _cells(size: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The middles of all cells in pixels, (cells, 2), x before y; and the stride of each."""
    middles, strides = [], []
    for stride in STRIDES:
        along = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
        x, y = np.meshgrid(along, along)
        middles.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full(x.size, stride))
    return np.concatenate(middles), np.concatenate(strides)


def _loss(levels: list[Any], targets: list[_Targets]) -> Any:
    """Varifocal loss of scores (Zhang et al., 2021) and GIoU loss of boxes (Rezatofighi et al., 2019)."""
    raw = torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
    middles, strides = (torch.from_numpy(part) for part in _cells(_TRAIN_SIZE))
    classes = torch.from_numpy(np.stack([target.classes for target in targets]))
    found = classes >= 0
    cells = found.nonzero()[:, 1]
    boxes = _boxes(raw[found], middles[cells], strides[cells, None].float())
    iou, giou = _overlap(boxes, torch.from_numpy(np.stack([target.boxes for target in targets]))[found])
    scores = raw[..., 4:]
    wanted = torch.zeros_like(scores)
    quality = iou.detach().clamp(min=0.05)
    wanted[found] = torch.nn.functional.one_hot(classes[found], len(CLASSES)) * quality[:, None]
    weight = torch.where(wanted > 0, wanted, 0.75 * scores.detach().sigmoid() ** 2)
    total = max(int(found.sum()), 1)
    score_loss = binary_cross_entropy_with_logits(scores, wanted, weight, reduction="sum") / total
    return score_loss + _BOX_WEIGHT * (1 - giou).sum() / total


def _boxes(raw: Any, middles: Any, strides: Any) -> Any:
    """x1 y1 x2 y2 in pixels; the same as in the exported graph."""
    middle = middles + raw[:, :2] * strides
    half = raw[:, 2:4].clamp(max=MAX_LOG).exp() * strides / 2
    return torch.cat([middle - half, middle + half], dim=1)


def _overlap(a: Any, b: Any) -> tuple[Any, Any]:
    """IoU and GIoU of pairs of boxes."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    either = areas[0] + areas[1] - shared
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = shared / either
    return iou, iou - (around - either) / around


if __name__ == "__main__":
    main()
