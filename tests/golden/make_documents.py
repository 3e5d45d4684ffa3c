"""Makes the golden files of json, yaml, toml, msgpack and vuer_msg: `python tests/golden/make_documents.py`.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from datamanager.kinds.documents.look import read_json
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource
from datamanager.kinds.table import encode_value, examine_content

GOLDEN = Path(__file__).parent
KINDS = ("json", "yaml", "toml", "msgpack", "vuer_msg")
LIMITS = KindLimits()
PLAN: dict[str, Any] = {"name": "pick", "steps": [{"joint": 3, "to": 1.25}, None, True], "größe": -7, "": {}}
YAML = """\
%YAML 1.2
---
defaults: &defaults
  rate_hz: 10
  frame: map
front:
  <<: *defaults
  rate_hz: 30
matrix: !!opencv-matrix {rows: 1, cols: 2, dt: d, data: [1.5, .inf]}
odd: !robot/joint
  - yes
  - 012
  - "012"
  - 0x1F
  - ~
text: |
  one
  two
? [complex, key]
: value
binary: !!binary AAEC
---
second document
...
"""
TOML = """\
title = "arm"
[limits]
joints = [1.5, -inf, 1_000]
born = 2024-01-31T10:00:00.25Z
at = 07:32:00
[[tool]]
name = "gripper"
'quoted key'.x = 0b101
"""


def make_samples() -> dict[str, dict[str, bytes]]:
    """The files by kind and name."""
    tensors = {
        "cloud": {
            "$dtype": "numpy.ndarray",
            "b": np.arange(6, dtype="<f4").tobytes(),
            "dtype": "float32",
            "shape": [2, 3],
        },
        "deep": [{"ztype": "torch.Tensor", "b": b"\xc0\x3f", "dtype": "torch.bfloat16", "shape": [1]}],
        "js": {"$dtype": "Uint16Array", "b": b"\1\0\2\0", "length": 2},
        "image": {"$dtype": "image", "b": b"\x89PNG\r\n\x1a\n" + bytes(8)},
        "dict": {"$dtype": "safetensor.dict", "b": struct.pack("<Q", 2) + b"{}"},
        "odd": {"$dtype": "from.the.future", "b": b"kept", "n": 1},
    }
    everything = {
        1: math.nan, None: [math.inf, -0.0, 1e300], "raw": bytes(range(8)), "ext": msgpack.ExtType(5, b"five"),
        "t": [msgpack.Timestamp(0, 0), msgpack.Timestamp(1, 1), msgpack.Timestamp(-1, 999_999_999)],
        "ints": [0, 127, 128, -32, -33, 2**63, 2**64 - 1, -(2**63)], False: "text",
    }  # fmt: skip
    return {
        "json": {
            "plan.json": encode_value("json", {"value": PLAN}, LIMITS),
            "odd.json": b'\xef\xbb\xbf {"a": 1, "a": [1e999, -0, 12345678901234567890123], "\\ud800": "\\u0000\\/"}\r\n',
            "scalar.json": b'"text"',
        },
        "yaml": {
            "robot.yaml": YAML.encode(),
            "opencv.yaml": b"%YAML:1.0\n---\nK: [1., 2.]\n",
            "empty.yaml": b"# nothing\n",
        },
        "toml": {"robot.toml": TOML.encode(), "crlf.toml": b"a = 1\r\nb = [\r\n]\r\n"},
        "msgpack": {
            "plan.msgpack": encode_value("msgpack", {"value": PLAN}, LIMITS),
            "everything.msgpack": msgpack.packb(everything),
            "odd.msgpack": b"\x83\xa2\xff\xfe\xa1\xff\x91\x01\xc7\x00\x05\x80\xd6\xff\0\0\0\1",
            "numbers.msgpack": msgpack.packb([1.5] * 20 + list(range(20)) + [300] * 20),
        },
        "vuer_msg": {
            "tensors.msgpack": encode_value("vuer_msg", {"value": tensors}, LIMITS),
            "array.msgpack": msgpack.packb(tensors["cloud"]),
        },
    }


def describe(kind: str, data: bytes) -> dict[str, object]:
    """What is pinned of one file: what is found in it, and how it is read."""
    found = examine_content(kind, BytesSource(data), Hints(), LIMITS)
    read = json.loads(read_json(BytesSource(data), kind, "", "/array?path=", LIMITS.max_depth))
    return {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata, "json": read}


def main() -> None:
    """Writes what is missing, and each `expected.json`."""
    for kind, samples in make_samples().items():
        folder = GOLDEN / kind
        folder.mkdir(exist_ok=True)
        for name, data in samples.items():
            if not (folder / name).exists():
                (folder / name).write_bytes(data)
        files = sorted(path for path in folder.iterdir() if path.name != "expected.json")
        expected = {path.name: describe(kind, path.read_bytes()) for path in files}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
