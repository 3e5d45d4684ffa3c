"""ONNX Runtime: a session on what really loads, and its errors told apart. It is imported when a model is opened."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.errors import DatamanagerError, Refused
from datamanager.inference.answers import ModelFailed, Trouble
from datamanager.inference.options import read_count, read_flag
from datamanager.observability import get_logger

__all__ = ["Array", "Engine", "Tensor", "open_engine", "trouble_of", "wanted_providers"]

Array = npt.NDArray[Any]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"
_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
# What ONNX Runtime writes of each trouble; it has no error codes for them (microsoft/onnxruntime issue 16307).
_MEMORY = (
    "failed to allocate",
    "bad allocation",
    "bad_alloc",
    "out of memory",
    "available memory of",
    "cannot allocate",
    "alloc_failed",
)
_DEVICE = ("cuda", "cudnn", "cublas", "cufft", "curand", "tensorrt", "gpu")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model.

    Attributes:
        shape: None for a side that may be of any size.
        dtype: of its elements.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        sides = " x ".join("any" if side is None else str(side) for side in self.shape)
        return f"{self.name!r} ({sides}, {self.dtype})"


class Engine:
    """An open model.

    Args:
        session: of ONNX Runtime.
        runtime: the module `onnxruntime`.
        bind_to: the device that inputs are copied to and bound on before a call (`cuda`; `cpu` works alike and is there
            for tests); None: arrays are handed over as they are.

    Attributes:
        inputs, outputs: in the model's order.
        providers: those that really loaded, the one in use first.
        metadata: what the exporter wrote into the file, by name.
    """

    def __init__(self, session: Any, runtime: ModuleType, bind_to: str | None) -> None:
        self._session = session
        self._runtime = runtime
        self._bind_to = bind_to
        self._quiet = runtime.RunOptions()
        self._quiet.log_severity_level = 4  # a call that fails raises; nobody needs it on stderr too
        self._buffers: dict[tuple[str, tuple[int, ...]], Any] = {}
        self.inputs = tuple(_tensor(node, "input") for node in session.get_inputs())
        self.outputs = tuple(_tensor(node, "output") for node in session.get_outputs())
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self.metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One call: every output by its name.

        Args:
            feeds: every input by its name, in its shape and dtype.

        Raises:
            ModelFailed: with the trouble told from what ONNX Runtime says.
        """
        try:
            values = (
                self._session.run(None, dict(feeds), self._quiet) if self._bind_to is None else self._run_bound(feeds)
            )
        except Exception as exc:  # ONNX Runtime has some dozen classes, RuntimeError and MemoryError beside
            raise ModelFailed(trouble_of(exc), _text(exc)) from exc
        return {output.name: np.asarray(value) for output, value in zip(self.outputs, values, strict=True)}

    def _run_bound(self, feeds: Mapping[str, Array]) -> list[Any]:
        """With inputs in buffers on the device, which are kept for the next call of the same shapes."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, self._buffer(name, array))
        for output in self.outputs:
            binding.bind_output(output.name, self._bind_to, 0)
        self._session.run_with_iobinding(binding, self._quiet)
        values: list[Any] = binding.copy_outputs_to_cpu()
        return values

    def _buffer(self, name: str, array: Array) -> Any:
        key = (name, array.shape)
        if key not in self._buffers:
            if len(self._buffers) >= _MAX_BUFFERS:
                self._buffers.clear()
            self._buffers[key] = self._runtime.OrtValue.ortvalue_from_numpy(array, self._bind_to, 0)
        else:
            self._buffers[key].update_inplace(array)
        return self._buffers[key]


_MAX_BUFFERS = 64  # input shapes; a batch of every size up to 32, of two inputs


def open_engine(path: str, device: str, threads: int, options: Mapping[str, Any]) -> Engine:
    """Opens a model on the best of what is there.

    `auto` and `cuda` ask for CUDA, and for TensorRT before it where its libraries are there; what really loaded is
    then read from the session, since ONNX Runtime falls back to the CPU of its own accord.

    Args:
        path: the model file; what it keeps outside (`external data`) has to lie beside it.
        device: `auto`, `cuda` or `cpu`.
        threads: that the CPU computes with.
        options: of the manifest: `tensorrt` (false: never), `gpu_memory_bytes` (most that CUDA takes).

    Raises:
        Refused: `bad_payload`: the file is no model that ONNX Runtime can open.
        ModelFailed: it does not fit into memory, or the device fails.
        DatamanagerError: ONNX Runtime is not installed.
    """
    runtime = _import_runtime()
    wanted = wanted_providers(runtime.get_available_providers(), path, device, options)
    if len(wanted) > 1 and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()  # CUDA and cuDNN as pip installs them are on no library path; from 1.21 on
    try:
        session = runtime.InferenceSession(path, _session_options(runtime, threads), providers=wanted)
    except Exception as exc:
        raise _opening_failed(path, exc) from exc
    loaded = session.get_providers()
    if device == "cuda" and loaded[0] == _CPU:
        _log.warning("cuda is not there: the model runs on the CPU", model=Path(path).name, providers=loaded)
    bind_to = "cuda" if loaded[0] in (_CUDA, _TENSORRT) else None
    return Engine(session, runtime, bind_to)


def trouble_of(error: BaseException) -> Trouble:
    """What the circuit breaker counts an error of ONNX Runtime as; the lack of memory, of whichever device, first."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY):
        return "memory"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "cuda" if any(word in text for word in _DEVICE) else "other"


def _import_runtime() -> ModuleType:
    # Its builds from 1.29 on send names and checksums of models, and how they do, to their maker; whoever wants that sets 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415  # an extra: only who runs models needs it, and it takes 100 ms
    except ImportError as exc:
        detail = f"ONNX Runtime cannot be imported ({exc}): pip install datamanager[cpu], or datamanager[gpu]"
        raise DatamanagerError(detail) from exc
    module: ModuleType = onnxruntime
    return module


def wanted_providers(
    available: Sequence[str], path: str, device: str, options: Mapping[str, Any]
) -> list[tuple[str, dict[str, str]]]:
    """The providers that are asked for, with their options, the best one first.

    Args:
        available: those that ONNX Runtime was built with, whether or not they will load.
        path: the model file; TensorRT, which takes minutes to build its engines, keeps them beside it.
        device: `auto`, `cuda` or `cpu`.
        options: as of `open_engine`.
    """
    wanted: list[tuple[str, dict[str, str]]] = [(_CPU, {})]
    if device == "cpu" or _CUDA not in available:
        return wanted
    limit = {"gpu_mem_limit": str(read_count(options, "gpu_memory_bytes", 1, 1 << 50))}
    grown = {"arena_extend_strategy": "kSameAsRequested"}  # not doubled: other models are on the same GPU
    wanted.insert(0, (_CUDA, grown | (limit if "gpu_memory_bytes" in options else {})))
    if _TENSORRT in available and read_flag(options, "tensorrt") is not False:
        cache = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(Path(path).parent)}
        wanted.insert(0, (_TENSORRT, cache))
    return wanted


def _session_options(runtime: ModuleType, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Where memory ends within a call, the arena keeps what it had got for it, for good, and no smaller batch fits.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = (
        False  # else a call's arrays are asked for as one, which `keep_freed_memory` never keeps
    )
    options.log_severity_level = 3  # errors: what else it has to say is about its own optimisations
    # Threads that wait for work by spinning take the processor from ingest.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _opening_failed(path: str, error: Exception) -> DatamanagerError | ModelFailed:
    trouble = trouble_of(error)
    if trouble != "other":
        return ModelFailed(trouble, _text(error))
    return Refused("bad_payload", f"the model cannot be opened: {_text(error).replace(path, os.path.basename(path))}")  # noqa: PTH119  # the text has the path as it was given


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def _tensor(node: Any, what: str) -> Tensor:
    if node.type not in _DTYPES:
        raise Refused("bad_payload", f"the model's {what} {node.name!r} is a {node.type}, which is not taken")
    shape = tuple(side if isinstance(side, int) and side >= 0 else None for side in node.shape)
    return Tensor(node.name, shape, np.dtype(_DTYPES[node.type]))
