"""ONNX Runtime: what it is asked for, what it then says."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.onnx_graphs import pooling_model

from datamanager.errors import Refused
from datamanager.inference.engine import Engine, open_engine, trouble_of, wanted_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
ALL = [TENSORRT, CUDA, CPU]


@pytest.mark.parametrize(
    ("available", "device", "options", "asked"),
    [
        ([CPU], "auto", {}, [CPU]),
        ([CPU], "cuda", {}, [CPU]),
        (ALL, "cpu", {}, [CPU]),
        (ALL, "auto", {}, ALL),
        (ALL, "cuda", {}, ALL),
        (ALL, "cuda", {"tensorrt": False}, [CUDA, CPU]),
        ([CUDA, CPU], "auto", {"tensorrt": True}, [CUDA, CPU]),
        ([TENSORRT, CPU], "auto", {}, [CPU]),
    ],
)
def test_the_best_that_may_be_there_is_asked_for_first(
    available: list[str], device: str, options: dict[str, object], asked: list[str]
) -> None:
    assert [name for name, _ in wanted_providers(available, "/models/a/model.onnx", device, options)] == asked


def test_a_gpus_memory_can_be_limited() -> None:
    wanted = dict(wanted_providers(ALL, "/models/a/model.onnx", "auto", {"gpu_memory_bytes": 1 << 30}))
    assert wanted[CUDA]["gpu_mem_limit"] == "1073741824"
    assert wanted[TENSORRT]["trt_engine_cache_path"] == "/models/a"
    assert "gpu_mem_limit" not in dict(wanted_providers(ALL, "a.onnx", "auto", {}))[CUDA]
    with pytest.raises(Refused, match="gpu_memory_bytes"):
        wanted_providers(ALL, "a.onnx", "auto", {"gpu_memory_bytes": "all"})


def test_what_really_loaded_is_said(tmp_path: Path) -> None:
    """Whatever is asked for: the session tells what it got, and it works."""
    path = pooling_model(tmp_path / "m.onnx", np.eye(3, dtype=np.float32))
    engine = open_engine(str(path), "cuda", 1, {})
    assert engine.providers[-1] == CPU
    if CUDA not in onnxruntime.get_available_providers():
        assert engine.providers == (CPU,)
    assert np.allclose(engine.run({"images": np.ones((2, 3, 32, 32), np.float32)})["output0"], 1)


def test_bound_inputs_give_the_same_outputs_call_after_call(tmp_path: Path) -> None:
    """The way that is taken on a GPU, with the processor as the device."""
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    path = pooling_model(tmp_path / "m.onnx", weights)
    session = onnxruntime.InferenceSession(str(path), providers=[CPU])
    engine = Engine(session, onnxruntime, "cpu")
    random = np.random.default_rng(1)
    for rows in (1, 4, 1, 4, 2):
        images = random.random((rows, 3, 32, 32), np.float32)
        assert np.allclose(engine.run({"images": images})["output0"], session.run(None, {"images": images})[0])
    assert len(engine._buffers) == 3
    for rows in range(1, 100):  # buffers of shapes that nobody uses any more are let go
        engine.run({"images": images[:1].repeat(rows, 0)})
    assert len(engine._buffers) <= 64


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (
            "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 8388608000",
            "memory",
        ),
        ("Load model from m.onnx failed:std::bad_alloc", "memory"),
        ("CUDA failure 2: out of memory ; GPU=0", "memory"),
        ("CUBLAS_STATUS_ALLOC_FAILED: cublasCreate", "memory"),
        ("CUDA error executing cudaMemcpy(dst_data, src_data, bytes, cudaMemcpyDeviceToHost)", "cuda"),
        ("CUDNN error executing cudnnFindConvolutionForwardAlgorithmEx", "cuda"),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", "cuda"),
        ("Non-zero status code returned while running Gather node. indices element out of data bounds", "other"),
    ],
)
def test_troubles_are_told_apart_by_what_onnx_runtime_says(text: str, trouble: str) -> None:
    assert trouble_of(RuntimeError(text)) == trouble


def test_pythons_own_errors_are_told_apart_too() -> None:
    assert trouble_of(MemoryError()) == "memory"
    assert trouble_of(TimeoutError()) == "timeout"
    assert trouble_of(ValueError("?")) == "other"


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from datamanager.errors import DatamanagerError
from datamanager.inference.host import load
from datamanager.inference.manifest import Manifest
try:
    load("m.onnx", Manifest(name="m", version="1", task="raw"), "auto", 1)
except DatamanagerError as exc:
    print(exc.detail)
"""


def test_without_onnx_runtime_the_host_is_imported_and_loading_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603  # ourselves
    assert "pip install datamanager[cpu]" in done.stdout


OPEN_AND_RUN = """
import sys
import numpy as np
from datamanager.inference.engine import open_engine
open_engine(sys.argv[1], "cpu", 1, {}).run({"images": np.ones((1, 3, 32, 32), np.float32)})
"""


def test_nothing_is_told_to_the_maker_of_the_runtime(tmp_path: Path) -> None:
    """It would keep what it is to send in the user's cache."""
    path = pooling_model(tmp_path / "m.onnx", np.eye(3, dtype=np.float32))
    environ = {"PATH": os.environ["PATH"], "HOME": str(home := tmp_path / "home")}  # in which nothing tells of a CI
    home.mkdir()
    program = [sys.executable, "-c", OPEN_AND_RUN, str(path)]
    subprocess.run(program, check=True, timeout=60, env=environ)  # noqa: S603  # ourselves
    assert list(home.rglob("*")) == []
