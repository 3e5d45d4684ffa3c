"""Models by batch size: frames a second and milliseconds a call, on each device that is here, decoding included and not.

The detector that comes with us at 640x640 and at 320x320, and the quality model. A GPU is measured where ONNX Runtime's
CUDA provider really loads; where none does, the table says so.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.frames import jpeg_of
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from datamanager.errors import DatamanagerError, ProcessDied
from datamanager.inference.host import FramePicture, Loaded, ModelFailed, infer, load, run_arrays
from datamanager.inference.manifest import Manifest
from datamanager.inference.zoo import zoo_model
from datamanager.processes import ProcessPool

__all__ = ["measure"]

_BATCHES = (1, 2, 4, 8, 16)
_CASES = (("detector", 640), ("detector", 320), ("quality", None))
_SIZE_BYTES = 100_000


async def measure(bench: Bench, result: Result) -> None:
    """Every model, side and batch size on every device, `--rounds` times."""
    pictures = [jpeg_of(_SIZE_BYTES, seed, 1280, 720) for seed in range(max(_BATCHES))]
    for device in ("cpu", "cuda"):
        for name, side in _CASES:
            manifest = _manifest(name, side)
            async with ProcessPool(1, timeout_s=600, behind=False) as pool:
                try:
                    loaded = await pool.run(_load, name, manifest, device)
                except (ModelFailed, DatamanagerError, ProcessDied) as error:
                    result.notes.append(f"{device}: {name} does not load: {error}")
                    continue
                if device == "cuda" and loaded.providers[0].startswith("CPU"):
                    result.notes.append("no GPU is here: CUDA's provider does not load, and the CPU alone was measured")
                    return
                label = f"{name} {side}x{side}" if side else name
                for _ in range(bench.args.rounds):
                    for batch in _BATCHES:
                        whole_s, bare_s = await pool.run(_timed, pictures[:batch], loaded.manifest, bench.args.seconds)
                        result.add(f"{device}: {label}, {batch} at once", "frames/s", batch / whole_s)
                        result.add(f"{device}: {label}, {batch} at once, a call", "ms", 1000 * whole_s)
                        result.add(f"{device}: {label}, {batch} at once, model alone", "frames/s", batch / bare_s)


def _load(name: str, manifest: Manifest, device: str) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(zoo_model(name).data())
        return load(str(path), manifest, device, 1)


def _manifest(name: str, side: int | None) -> Manifest:
    manifest = msgspec.structs.replace(zoo_model(name).manifest, max_batch=max(_BATCHES))
    if side is None or manifest.input is None:
        return manifest
    return msgspec.structs.replace(manifest, input=msgspec.structs.replace(manifest.input, width=side, height=side))


def _timed(pictures: Sequence[bytes], manifest: Manifest, seconds: float) -> tuple[float, float]:
    """Seconds of a call with these pictures as they come, and of one with tensors, both medians; in the model's process."""
    frames = [FramePicture(f"f{n}", data) for n, data in enumerate(pictures)]
    taken = manifest.input
    if taken is None:
        raise ValueError(f"{manifest.name} takes no pictures")
    dtype = np.dtype(taken.dtype)
    tensor = np.zeros((len(pictures), taken.channels, taken.height, taken.width), dtype)
    inputs = {name: tensor for name in (taken.name, taken.previous) if name}
    whole = _median_s(lambda: infer(frames, {}), seconds)
    return whole, _median_s(lambda: run_arrays(inputs), seconds)


def _median_s(call: Callable[[], object], seconds: float) -> float:
    took: list[float] = []
    end_s = time.perf_counter() + seconds / 2
    call()
    while time.perf_counter() < end_s or len(took) < 3:
        began_s = time.perf_counter()
        call()
        took.append(time.perf_counter() - began_s)
    return float(np.median(took))


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(seconds=2, rounds=3))
