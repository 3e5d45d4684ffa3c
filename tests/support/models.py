"""Models that come with the package, as tests run them."""

import onnxruntime as ort

from datamanager.inference.zoo import ZooModel

__all__ = ["session_of"]


def session_of(model: ZooModel, threads: int = 1) -> ort.InferenceSession:
    """A plain ONNX Runtime session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.data(), options, providers=["CPUExecutionProvider"])
