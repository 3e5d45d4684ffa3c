"""One tensor of 1 MiB out of a safetensors file of gigabytes, beside the same range straight from S3.

The file is sparse on this side; S3 gets all of its bytes.
"""

import argparse
import json
import random
import struct
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from benchmarks.api import Api
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result
from datamanager.client import AsyncRobot

__all__ = ["make_file", "measure", "read_tensors"]

_TENSOR_BYTES = 1024 * 1024
_READS = 100


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gib", type=int, default=2, help="size of the file (%(default)s)")


async def measure(bench: Bench, result: Result) -> None:
    """Uploads the file, then reads tensors from all over it."""
    result.settings["gib"] = bench.args.gib
    with TemporaryDirectory(prefix="datamanager-bench-") as folder:
        path = Path(folder) / "weights.safetensors"
        make_file(path, bench.args.gib * 1024)
        async with AsyncRobot(bench.url, robot_id=bench.robot_id, session_id="tensors") as robot:
            began_s = time.perf_counter()
            await robot.upload(path, kind="safetensors", stream="weights")
            result.add("upload, checked by SHA-256", "s", time.perf_counter() - began_s)
    for turn in range(bench.args.rounds):
        first_ms, times = await bench.elsewhere(read_tensors, bench.url, bench.robot_id, bench.args.gib * 1024)
        if not turn:  # later the server has the header already
            result.add("the first tensor, header and all", "ms", first_ms)
        for name, took in times.items():
            result.add(f"{name}: p50", "ms", float(np.percentile(took, 50)))
            result.add(f"{name}: worst", "ms", max(took))
    name = f"a tensor of 1 MiB of {bench.args.gib} GiB"
    result.goal(f"{name}, the first one", 200, measure="the first tensor, header and all", at_most=True)
    result.goal(f"{name}, the slowest", 200, measure="a tensor: worst", at_most=True)
    result.notes.append("verified: every tensor read bears its own number, and has 1 MiB")


def make_file(path: Path, tensors: int) -> None:
    """A sparse file of tensors of 1 MiB, each of which begins with its number."""
    offsets = range(0, (tensors + 1) * _TENSOR_BYTES, _TENSOR_BYTES)
    header = json.dumps(
        {
            _name(i): {"dtype": "F32", "shape": [512, 512], "data_offsets": [offsets[i], offsets[i + 1]]}
            for i in range(tensors)
        }
    ).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for i in range(tensors):
            file.seek(8 + len(header) + offsets[i])
            file.write(struct.pack("<Q", i))
        file.truncate(8 + len(header) + offsets[-1])


def _name(number: int) -> str:
    return f"model.layers.{number}.mlp.weight"


def read_tensors(url: str, robot_id: str, tensors: int) -> tuple[float, dict[str, list[float]]]:
    """Milliseconds of reading the first tensor, and of others, by how they are read.

    Raises:
        RuntimeError: a tensor is not what it should be.
    """
    api = Api(url)
    (record,) = json.loads(api.get(f"/sessions/{robot_id}/tensors/records", stream="weights"))["items"]
    took: list[float] = []
    for _ in range(1 + _READS):
        number = random.randrange(tensors)
        took_ms, data = api.timed_ms(f"/records/{record['record_id']}/tensors/{_name(number)}")
        if len(data) != _TENSOR_BYTES or struct.unpack_from("<Q", data) != (number,):
            raise RuntimeError(f"tensor {number} is another one")
        took.append(took_ms)
    return took[0], {"a tensor": took[1:], "the range from S3": _bare(record, tensors)}


def _bare(record: dict[str, Any], tensors: int) -> list[float]:
    begin = record["size_bytes"] - tensors * _TENSOR_BYTES
    took = []
    with httpx.Client(trust_env=False) as http:
        for _ in range(_READS):
            start = begin + random.randrange(tensors) * _TENSOR_BYTES
            began_s = time.perf_counter()
            answer = http.get(
                record["urls"]["original"], headers={"range": f"bytes={start}-{start + _TENSOR_BYTES - 1}"}
            )
            took.append((time.perf_counter() - began_s) * 1000)
            if len(answer.content) != _TENSOR_BYTES:
                raise RuntimeError(f"S3 gave {len(answer.content)} bytes")
    return took


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(options=_options))
