"""Writes the golden files of `time_series` and `file`: `python tests/golden/make_plain.py`.

`expected.json` holds what is read back of them, and is written by hand: it says what has to stay.
"""

import json
import struct
from pathlib import Path

import msgpack

GOLDEN = Path(__file__).resolve().parent
T0 = 1_700_000_000_000_000_000


def main() -> None:
    """Writes them."""
    series, file = GOLDEN / "time_series", GOLDEN / "file"
    for folder in (series, file):
        folder.mkdir(exist_ok=True)
    lines = [
        {"t_ns": T0, "payload": {"pose": {"position": {"x": 1, "y": 0.1}}, "joints": [0.5, -2], "ok": True}},
        {"timestamp": 1_700_000_000.25, "payload": {"pose": {"position": {"x": 2.5, "y": None}}, "mode": "auto"}},
        {"t_ns": T0 + 500_000_000, "payload": {"pose": {"position": {"x": "NaN", "y": "-Infinity"}}, "big": 2**63 - 1}},
    ]
    (series / "nested.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    columns = {
        "t_ns": struct.pack("<3q", T0, T0 + 1, T0 + 2),
        "channels": {
            "f32": struct.pack("<3f", 0.1, 1e30, -0.0),
            "f64": struct.pack("<3d", 0.1, 5e-324, 1.7976931348623157e308),
            "i16": struct.pack("<3h", -32768, 0, 32767),
            "text": ["ä", "", None],
        },
        "dtypes": {"f32": "float32", "i16": "int16"},
    }
    (series / "columnar.msgpack").write_bytes(msgpack.packb(columns))
    (file / "head.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(range(256)))
    (file / "unknown.bin").write_bytes(bytes(range(256)))
    (file / "words.txt").write_bytes("grüße\r\n".encode())


if __name__ == "__main__":
    main()
