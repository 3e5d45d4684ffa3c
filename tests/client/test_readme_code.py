"""The README's Python runs as it stands."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def run(marker: str, server: str, space: dict[str, Any]) -> None:
    """Runs the one block of the README's Python that has the marker in it."""
    (block,) = [block for block in BLOCKS if marker in block]
    exec(block.replace("http://127.0.0.1:8080", server), space)  # noqa: S102 - our own page


def test_the_readme_s_remote_call_is_answered(server: str) -> None:
    space: dict[str, Any] = {}
    run("@robot.rpc", server, space)
    assert space["moved"] == {"x": 0.5}


def test_what_the_readme_sends_is_what_the_readme_reads(
    server: str,
    worker: None,  # noqa: ARG001 - makes thumbnails
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "teal").save("frame.jpg")
    space: dict[str, Any] = {"times_ns": 1_700_000_000_000_000_000 + np.arange(100)}
    for marker in (".log_batch(", ".range_arrow("):
        run(marker, server, space)
    assert space["samples"]["max(position.x)"].max() == 1.0
    assert space["table"].num_rows == 101
    assert space["thumbnail"][:2] == b"\xff\xd8"


def test_the_readme_s_documents_are_read_by_path(server: str) -> None:
    space: dict[str, Any] = {"np": np}
    run("reader.document(", server, space)
    assert space["speed"] == 0.5
    assert space["cloud"].shape == space["message"]["cloud"].shape == (100, 3)


def test_the_readme_s_file_is_uploaded(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lidar.bin").write_bytes(b"a scan")
    space: dict[str, Any] = {}
    run("robot.upload(", server, space)
    assert space["uploaded"].record_id
