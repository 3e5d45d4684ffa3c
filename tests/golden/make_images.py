"""Makes the golden files of kind `images` anew: `python tests/golden/make_images.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `support`, which the tests share with this script

import DracoPy
from PIL import Image
from support.image_samples import make_samples

from datamanager.kinds.images import ImageLimits, inspect_image
from datamanager.worker.tiers import Tier, make_tiers

FOLDER = Path(__file__).parent / "images"
LIMITS = ImageLimits(max_pixels=10_000_000, max_points=100_000)


def describe(data: bytes) -> dict[str, Any]:
    """What is pinned of one file: all that inspecting tells, and what its tiers are."""
    info = inspect_image(data, declared_format=None, role=None, limits=LIMITS)
    tiers = make_tiers(data, info)
    return {
        "info": json.loads(json.dumps(asdict(info))),
        "tiers": {name: describe_tier(tier) for name, tier in tiers.items()},
    }


def describe_tier(tier: Tier) -> dict[str, Any]:
    """A tier's type and size, read from its bytes; the bytes themselves hang on the versions of the encoders."""
    if tier.extension == "drc":
        return {"mime_type": tier.mime_type, "points": len(DracoPy.decode(tier.data).points)}
    with Image.open(io.BytesIO(tier.data)) as image:
        return {"mime_type": tier.mime_type, "size": list(image.size), "mode": image.mode}


def main() -> None:
    """Writes what is missing, and `expected.json`."""
    FOLDER.mkdir(exist_ok=True)
    for name, data in make_samples().items():
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(data)
    files = sorted(path for path in FOLDER.iterdir() if path.suffix != ".json")
    expected = {path.name: describe(path.read_bytes()) for path in files}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
