"""Models that come with the package, as tests run them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from datamanager.inference.host import FrameAnswer, FramePicture, infer, load
from datamanager.inference.zoo import ZooModel

__all__ = ["answers_of", "session_of"]


def session_of(model: ZooModel, threads: int = 1) -> ort.InferenceSession:
    """A plain ONNX Runtime session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.data(), options, providers=["CPUExecutionProvider"])


def answers_of(model: ZooModel, pictures: Sequence[npt.NDArray[np.uint8]], folder: Path) -> list[FrameAnswer]:
    """What a model says of RGB pictures (sent as PNG), by the same way that frames of robots go."""
    path = folder / "model.onnx"
    path.write_bytes(model.data())
    load(str(path), model.manifest, "cpu", 1)
    return infer([FramePicture(str(at), _png(pixels)) for at, pixels in enumerate(pictures)], {})


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()
