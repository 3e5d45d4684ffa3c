"""Makes the golden files of kind `safetensors` anew: `python tests/golden/make_safetensors.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.safetensors import examine
from datamanager.kinds.source import BytesSource

FOLDER = Path(__file__).parent / "safetensors"


def make_samples() -> dict[str, bytes]:
    """Small files by the format's own library."""
    mixed = {
        "model.layers.0/weight": np.arange(12, dtype="<f4").reshape(3, 4),
        "scalar": np.array(7, dtype="<i8"),
        "empty": np.zeros((0, 5), dtype="<f8"),
        "mask": np.array([True, False, True]),
        "bytes": np.arange(5, dtype="u1"),
        "größe": np.arange(3, dtype="<f2"),
    }
    return {
        "mixed.safetensors": save(mixed, metadata={"format": "pt", "who": "arm-7"}),
        "nothing.safetensors": save({}),
    }


def describe(data: bytes) -> dict[str, object]:
    """What is pinned of one file."""
    found = examine(BytesSource(data), Hints(), KindLimits())
    return {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata}


def main() -> None:
    """Writes what is missing, and `expected.json`."""
    FOLDER.mkdir(exist_ok=True)
    for name, data in make_samples().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)
    files = sorted(path for path in FOLDER.iterdir() if path.suffix != ".json")
    expected = {path.name: describe(path.read_bytes()) for path in files}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
