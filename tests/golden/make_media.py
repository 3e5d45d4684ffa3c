"""Makes the golden files of kinds `audio` and `video` anew: `python tests/golden/make_media.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `support`, which the tests share with this script

from support.media_samples import annexb, fragments, sound_file, tone, video_file, wav

from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource

FOLDER = Path(__file__).parent
MOST_BYTES = 50_000
PAYLOADS: dict[str, dict[str, Any]] = {
    "chunk.pcm": {"format": "pcm_s16le", "sample_rate": 16_000, "channels": 1},
    "chunk.h264": {"fps": 10},
}
FILES: dict[str, dict[str, Callable[[], bytes]]] = {
    "audio": {
        "tone.wav": lambda: wav(0.25, channels=2),
        "tone.mp3": lambda: sound_file("mp3", "libmp3lame"),
        "tone.opus": lambda: sound_file("ogg", "libopus"),
        "tone.flac": lambda: sound_file("flac", "flac"),
        "tone.m4a": lambda: sound_file("ipod", "aac"),
        "tone.weba": lambda: sound_file("webm", "libopus"),
        "chunk.pcm": tone(0.25)[0].tobytes,
    },
    "video": {
        "both.mp4": lambda: video_file(sound="aac"),
        "plain.mov": lambda: video_file("mov"),
        "plain.webm": lambda: video_file("webm", "libvpx-vp9"),
        "both.mkv": lambda: video_file("matroska", "mpeg4", sound="libopus"),
        "plain.avi": lambda: video_file("avi", "mpeg4"),
        "whole_fragments.mp4": lambda: video_file(movflags="frag_keyframe+empty_moov+default_base_moof"),
        "init.mp4": lambda: fragments()[0],
        "media.m4s": lambda: fragments()[1],
        "chunk.h264": lambda: annexb(10),
    },
}


def describe(kind: str, name: str, data: bytes) -> dict[str, Any]:
    """What is pinned of one file: all that is found in it."""
    examine = importlib.import_module(f"datamanager.kinds.{kind}").examine
    found = examine(BytesSource(data), Hints(name, payload=PAYLOADS.get(name, {})), KindLimits())
    return {
        "payload": PAYLOADS.get(name, {}),
        "mime_type": found.mime_type,
        "ending": found.ending,
        "metadata": found.metadata,
        "wants": list(found.wants),
    }


def main() -> None:
    """Makes what is missing, and describes all."""
    for kind, files in FILES.items():
        folder = FOLDER / kind
        folder.mkdir(exist_ok=True)
        for name, make in files.items():
            path = folder / name
            if not path.exists():
                path.write_bytes(make())
            if path.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{path} has {path.stat().st_size} bytes")
        expected = {name: describe(kind, name, (folder / name).read_bytes()) for name in sorted(files)}
        (folder / "expected.json").write_text(json.dumps(expected, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
