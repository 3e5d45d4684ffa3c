"""The README's example of sound and video runs as it stands."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.media_samples import video_file, wav

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_s_video_has_a_playlist(
    server: str,
    worker: None,  # noqa: ARG001 - makes the preview
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "motor.wav").write_bytes(wav())
    (tmp_path / "drive.mp4").write_bytes(video_file())
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "playlist.m3u8" in block]
    space: dict[str, Any] = {}
    exec(block.replace("http://127.0.0.1:8080", server), space)  # noqa: S102 - our own page
    for _ in range(20):
        answer = httpx.get(space["playlist"], trust_env=False, timeout=30)
        if answer.status_code == 200:
            break
    assert "#EXTINF:" in answer.text
