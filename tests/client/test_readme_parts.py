"""What the README reads of files and archives is what was sent."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import safetensors.numpy
from support.archive_samples import PACKERS, tar_of
from support.raw_robot import RawRobot

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


async def send(server: str, contents: dict[str, tuple[str, bytes]]) -> None:
    """Sends one record to each stream, as (kind, bytes)."""
    async with RawRobot(server, "parts", robot="readme-parts") as robot:
        await robot.hello()
        for stream, (kind, data) in contents.items():
            await robot.send(1, {"data": data}, data_type=kind, stream=stream)
        await robot.until(lambda: len(robot.acked) == len(contents))


def test_a_tensor_and_a_member_are_read_as_the_readme_does_it(server: str) -> None:
    (block,) = [block for block in BLOCKS if "/tensors/" in block]
    weight = np.arange(12, dtype="<f4").reshape(3, 4)
    weights = safetensors.numpy.save({"arm.0.weight": weight})
    archive = PACKERS["gz"](tar_of({"run/notes.txt": b"first\n"}))
    asyncio.run(send(server, {"weights": ("safetensors", weights), "archive": ("tar", archive)}))
    found = httpx.get(f"{server}/api/v1/sessions/readme-parts/parts/records", trust_env=False).json()["items"]
    space: dict[str, Any] = {f"{item['stream']}_id": item["record_id"] for item in found}
    exec(block.replace("http://127.0.0.1:8080", server), space)  # noqa: S102 - our own page
    np.testing.assert_array_equal(space["weight"], weight)
    assert space["raw"] == weight.tobytes()[:16]
    assert space["notes"] == "first\n"
