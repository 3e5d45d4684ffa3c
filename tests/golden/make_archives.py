"""Makes the golden files of kinds `zip` and `tar` anew: `python tests/golden/make_archives.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import json
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `support`, which the tests share with this script

from support.archive_samples import PACKERS, tar_of, zip_of

from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource

FOLDER = Path(__file__).parent
MEMBERS = {"run/": b"", "run/notes.txt": b"first\n" * 50, "run/größe.bin": bytes(range(256)), "empty": b""}


def make_samples(kind: str) -> dict[str, bytes]:
    """Small archives by Python's own libraries."""
    if kind == "zip":
        methods = {"stored": zipfile.ZIP_STORED, "deflate": 8, "bz2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
        found = {f"{name}.zip": zip_of(MEMBERS, method) for name, method in methods.items()}
        return found | {"empty.zip": zip_of({})}
    plain = tar_of(MEMBERS)
    forms = {"gnu.tar": tar_of(MEMBERS, tarfile.GNU_FORMAT), "pax.tar": plain, "empty.tar": tar_of({})}
    return forms | {f"packed.tar.{packing}": pack(plain) for packing, pack in PACKERS.items()}


def describe(kind: str, data: bytes) -> dict[str, object]:
    """What is pinned of one file."""
    found = import_module(f"datamanager.kinds.{kind}").examine(BytesSource(data), Hints(), KindLimits())
    return {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata}


def main() -> None:
    """Writes what is missing, and `expected.json`."""
    for kind in ("zip", "tar"):
        folder = FOLDER / kind
        folder.mkdir(exist_ok=True)
        for name, data in make_samples(kind).items():
            if not (folder / name).exists():
                (folder / name).write_bytes(data)
        files = sorted(path for path in folder.iterdir() if path.suffix != ".json")
        expected = {path.name: describe(kind, path.read_bytes()) for path in files}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
