"""A model that takes too much memory fails by name, and its process goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image
from support.drawn import encoded
from support.frames import jpeg
from support.onnx_graphs import save_model, tensor_of, tiling_model

from datamanager.inference.host import FramePicture, ModelFailed, infer, load
from datamanager.inference.manifest import FrameInput, Manifest
from datamanager.inference.zoo import zoo_model
from datamanager.processes import ProcessPool

LIMIT = 320 << 20  # of which Python and its libraries take about 100
RAW = Manifest(name="m", version="1", task="raw", input=FrameInput(width=64, height=64), max_batch=4)
FRAMES = [FramePicture(str(n), jpeg(64, 64)) for n in range(4)]


def data_bytes() -> int:
    """What RLIMIT_DATA limits, of the process that is asked."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) << 10


@pytest.fixture
async def child() -> AsyncIterator[ProcessPool]:
    preload = ["onnxruntime", "datamanager.inference.host"]
    async with ProcessPool(1, timeout_s=60, memory_bytes=LIMIT, behind=False, preload=preload) as pool:
        yield pool


async def test_the_largest_batch_is_what_fits_into_memory(tmp_path: Path, child: ProcessPool) -> None:
    """A picture takes 50 MB: seven are too many, which shows when the model is warmed up, and three are not."""
    of = msgspec.structs.replace(RAW, max_batch=7)
    loaded = await child.run(load, str(tiling_model(tmp_path / "t.onnx", 32)), of, "cpu", 1)
    assert loaded.manifest.max_batch == 3
    answers = await child.run(infer, FRAMES, {})
    assert len({answer.values["output"] for answer in answers}) == 1


async def test_a_model_that_never_fits_fails_for_its_memory_and_another_can_be_loaded(
    tmp_path: Path, child: ProcessPool
) -> None:
    with pytest.raises(ModelFailed) as failed:
        await child.run(load, str(tiling_model(tmp_path / "t.onnx", 100)), RAW, "cpu", 1)
    assert failed.value.trouble == "memory", failed.value.detail
    assert (await child.run(load, str(tiling_model(tmp_path / "s.onnx", 1)), RAW, "cpu", 1)).manifest.max_batch == 4
    assert len(await child.run(infer, FRAMES, {})) == 4


async def test_a_model_larger_than_the_limit_fails_for_its_memory(tmp_path: Path, child: ProcessPool) -> None:
    """Its weights are made of one number when it is opened: 3 GB out of a file of 1 kB."""
    shape = tensor_of("shape", [64 * 64 * 3, 64 * 1024], np.int64)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("ConstantOfShape", ["shape"], ["weights"]),
        helper.make_node("MatMul", ["flat", "weights"], ["output"]),
    ]
    path = save_model(
        tmp_path / "w.onnx",
        nodes,
        {"images": (TensorProto.FLOAT, ["batch", 3, 64, 64])},
        {"output": (TensorProto.FLOAT, ["batch", 64 * 1024])},
        [shape],
    )
    with pytest.raises(ModelFailed) as failed:
        await child.run(load, str(path), RAW, "cpu", 1)
    assert failed.value.trouble == "memory"


async def test_memory_that_runs_out_in_the_midst_of_work_fails_that_batch(tmp_path: Path, child: ProcessPool) -> None:
    """How much it takes hangs on the picture: a bright one is laid side by side a hundred times."""
    node = helper.make_node
    nodes = [
        node("ReduceMax", ["images"], ["most"], axes=[0, 1, 2, 3], keepdims=0),
        node("Mul", ["most", "hundred"], ["times"]),
        node("Floor", ["times"], ["whole"]),
        node("Add", ["whole", "one"], ["repeats"]),
        node("Cast", ["repeats"], ["count"], to=TensorProto.INT64),
        node("Unsqueeze", ["count", "first"], ["counts"]),
        node("Concat", ["ones", "counts", "counts"], ["tiles"], axis=0),
        node("Tile", ["images", "tiles"], ["large"]),
        node("ReduceMean", ["large"], ["output"], axes=[1, 2, 3], keepdims=0),
    ]
    path = save_model(
        tmp_path / "m.onnx",
        nodes,
        {"images": (TensorProto.FLOAT, ["batch", 3, 64, 64])},
        {"output": (TensorProto.FLOAT, ["batch"])},
        [
            tensor_of("hundred", 150, np.float32),
            tensor_of("one", 1, np.float32),
            tensor_of("first", [0], np.int64),
            tensor_of("ones", [1, 1], np.int64),
        ],
    )
    await child.run(load, str(path), msgspec.structs.replace(RAW, max_batch=1), "cpu", 1)
    with pytest.raises(ModelFailed) as failed:
        await child.run(infer, FRAMES[:1], {})
    assert failed.value.trouble == "memory"
    dark = FramePicture("dark", b"no picture")
    assert (await child.run(infer, [dark], {}))[0].error is not None  # the process is the same, and answers


async def test_a_process_does_not_grow_with_the_frames_that_it_looks_at(tmp_path: Path) -> None:
    """Each frame is kept for the next one, and goes when as many came after it as are kept."""
    model = zoo_model("quality")
    (path := tmp_path / "quality.onnx").write_bytes(model.data())
    pictures = [jpeg(640, 480, seed=seed) for seed in range(4)]
    taken: list[int] = []
    async with ProcessPool(1, timeout_s=60, behind=False, preload=["datamanager.inference.host"]) as child:
        loaded = await child.run(load, str(path), model.manifest, "cpu", 1)
        assert loaded.kept == 256
        for n in range(1200):
            frame = FramePicture(str(n), pictures[n % 4], previous_id=str(n - 1) if n else None)
            [answer] = await child.run(infer, [frame], {})
            assert ("motion" in answer.values) == (n > 0)
            if n in (200, 1199):
                taken.append(await child.run(data_bytes))
    assert taken[1] - taken[0] < 48 << 20  # of 77 kB each, the pictures of a thousand frames are 77 MB


async def test_a_picture_too_large_for_the_process_is_answered_for_and_the_others_are_looked_at(
    tmp_path: Path, child: ProcessPool
) -> None:
    await child.run(load, str(tiling_model(tmp_path / "s.onnx", 1)), RAW, "cpu", 1)
    huge = encoded(
        Image.new("RGBA", (4_200, 4_200)), compress_level=1
    )  # 71 MB decoded, and as much twice again over grey
    answers = await child.run(infer, [FRAMES[0], FramePicture("huge", huge), FRAMES[1]], {})
    assert [answer.error is None for answer in answers] == [True, False, True]
