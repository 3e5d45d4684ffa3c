"""Kind `safetensors`: what the format's own library writes is taken, and nothing whose offsets do not fit."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.safetensors import examine
from datamanager.kinds.safetensors.dtypes import DTYPE_BITS, NUMPY_DTYPES
from datamanager.kinds.safetensors.header import Header, read_header
from datamanager.kinds.safetensors.npy import npy_header
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "safetensors"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
LIMITS = KindLimits()
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def looked_at(data: bytes, limits: KindLimits = LIMITS) -> Found:
    return examine(BytesSource(data), Hints(), limits)


def header_of(data: bytes) -> Header:
    return read_header(BytesSource(data), LIMITS.max_header_bytes)


def refusal(data: bytes, limits: KindLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, limits)
    return caught.value


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_as_they_were(name: str) -> None:
    found = looked_at((GOLDEN / name).read_bytes())
    assert {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata} == EXPECTED[name]


def test_no_golden_file_is_missing() -> None:
    assert {"mixed.safetensors", "nothing.safetensors"} <= set(EXPECTED)
    assert {path.name for path in GOLDEN.glob("*.safetensors")} == set(EXPECTED)


ARRAYS = st_numpy.arrays(
    st.sampled_from([np.dtype(name) for name in NUMPY_DTYPES.values() if name != "<c8"]),
    st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@given(st.dictionaries(st.text(max_size=20).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=6))
@settings(max_examples=40)
def test_any_tensors_come_back_from_where_the_header_says(arrays: dict[str, Any]) -> None:
    data = safetensors.numpy.save(arrays)
    header = header_of(data)
    assert {tensor.name for tensor in header.tensors} == set(arrays)
    for tensor in header.tensors:
        raw = data[tensor.start : tensor.end]
        again = np.load(io.BytesIO(npy_header(tensor) + raw))
        np.testing.assert_array_equal(again, arrays[tensor.name])
        assert again.dtype == arrays[tensor.name].dtype
    assert looked_at(data).metadata["tensor_count"] == len(arrays)


def test_real_files_are_taken_as_the_library_takes_them(recordings: Path) -> None:
    files = list(recordings.rglob("*.safetensors"))
    assert files
    for path in files:
        known = safetensors.numpy.load(path.read_bytes())
        assert {tensor.name: tensor.shape for tensor in header_of(path.read_bytes()).tensors} == {
            name: array.shape for name, array in known.items()
        }


def test_every_dtype_is_known_by_its_width() -> None:
    for dtype, bits in DTYPE_BITS.items():
        entry = {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}
        assert looked_at(file({"x": entry}, bytes(bits))).metadata["dtypes"] == {dtype: 1}
        if dtype not in NUMPY_DTYPES:
            with pytest.raises(Refused, match="NumPy has no type"):
                npy_header(header_of(file({"x": entry}, bytes(bits))).tensors[0])


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "bad_payload", "too few"),
        (bytes(7), "bad_payload", "too few"),
        (bytes(8), "bad_payload", "no JSON object"),
        (b"\xff" * 8 + b"{", "bad_payload", "to have"),
        (file({}, length=3), "bad_payload", "to have 3 bytes, and 2 follow"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "kind_mismatch", "image/png, not safetensors"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(30), "kind_mismatch", "image/jpeg, not safetensors"),
        (b"PK\x03\x04" + bytes(60), "kind_mismatch", "application/zip, not safetensors"),
        (file(b"[]"), "bad_payload", "no JSON object"),
        (file(b"{\xff}"), "bad_payload", "not UTF-8"),
        (file(b'{"a":'), "bad_payload", "no JSON"),
        (file(b'{"a":NaN}'), "bad_payload", "NaN is no JSON"),
        (file(b'{"a":' + b"9" * 5000 + b"}"), "bad_payload", "no JSON"),
        (file(b'{"a":' + b"[" * 100_000), "too_deep", "too deeply"),
        (file(b'{"a":1,"a":2}'), "bad_payload", "stands twice"),
        (file(b'{"__metadata__":{"a":"1","a":"1"}}'), "bad_payload", "stands twice"),
        (file({"__metadata__": {"a": 1}}), "bad_payload", "map of strings"),
        (file({"__metadata__": []}), "bad_payload", "map of strings"),
        (file({"__metadata__": ["a"]}), "bad_payload", "map of strings"),
        (file(b'{"__metadata__":{"a":"\\ud800"}}'), "bad_payload", "surrogate"),
        (file({"x": 1}), "bad_payload", "no map"),
        (file(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "bad_payload", "surrogate"),
        (file({"x": F32 | {"dtype": "F128"}}, bytes(8)), "bad_payload", "unknown dtype"),
        (file({"x": F32 | {"dtype": ["F32"]}}, bytes(8)), "bad_payload", "unknown dtype"),
        (file({"x": F32 | {"shape": [-2]}}, bytes(8)), "bad_payload", "no list of sizes"),
        (file({"x": F32 | {"shape": [2.0]}}, bytes(8)), "bad_payload", "no list of sizes"),
        (file({"x": F32 | {"shape": [True, 2]}}, bytes(8)), "bad_payload", "no list of sizes"),
        (file({"x": F32 | {"shape": 2}}, bytes(8)), "bad_payload", "no list of sizes"),
        (file({"x": F32 | {"shape": [2**63]}}, bytes(8)), "bad_payload", "no list of sizes"),
        (file({"x": F32 | {"data_offsets": [0]}}, bytes(8)), "bad_payload", "no two offsets"),
        (file({"x": F32 | {"data_offsets": [8, 0]}}, bytes(8)), "bad_payload", "has -8 bytes"),
        (file({"x": F32 | {"shape": [3]}}, bytes(8)), "bad_payload", "has 8 bytes"),
        (file({"x": F32 | {"shape": [2**32, 2**32, 2]}}, bytes(8)), "bad_payload", "overflows"),
        (file({"x": F32 | {"shape": [2**62, 4, 0]}}, bytes(8)), "bad_payload", "overflows"),
        (file({"x": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}, bytes(2)), "bad_payload", "within a byte"),
        (file({"x": F32}, bytes(7)), "bad_payload", "1 are missing"),
        (file({"x": F32}, bytes(9)), "bad_payload", "1 more follow"),
        (file({}, b"x"), "bad_payload", "1 more follow"),
        (file({"x": F32, "y": F32}, bytes(8)), "bad_payload", "overlaps"),
        (file({"x": F32, "y": F32 | {"data_offsets": [9, 17]}}, bytes(17)), "bad_payload", "leaves a hole"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(data: bytes, code: str, says: str) -> None:
    refused = refusal(data)
    assert refused.code == code
    assert says in refused.detail
    assert refused.offset is not None


def test_a_header_at_the_limit_is_taken_and_one_beyond_is_not() -> None:
    text = json.dumps({"x": F32}).encode().ljust(1000)
    assert looked_at(file(text, bytes(8)), KindLimits(max_header_bytes=1000)).metadata["tensor_count"] == 1
    assert refusal(file(text, bytes(8)), KindLimits(max_header_bytes=999)).code == "too_large"


def test_truncated_anywhere_it_is_refused() -> None:
    data = (GOLDEN / "mixed.safetensors").read_bytes()
    for end in range(len(data)):
        assert refusal(data[:end]).code == "bad_payload"


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(noise: bytes) -> None:
    for data in (noise, file(noise), file(b"{" + noise)):
        try:
            looked_at(data)
        except Refused:
            continue


def test_of_a_huge_file_only_the_header_is_read() -> None:
    size = 5 * 2**30
    head = file({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    read: list[int] = []

    class Huge:
        size = len(head) + 5 * 2**30

        def read(self, offset: int, size: int) -> bytes:
            read.append(size)
            return head[offset : offset + size].ljust(size, b"\0")

    assert examine(Huge(), Hints(), LIMITS).metadata["tensor_bytes"] == size
    assert sum(read) < 1000


def test_of_many_tensors_the_first_stand_in_the_metadata_and_all_are_counted() -> None:
    many = {f"layer.{i:04d}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(2000)}
    metadata = looked_at(file({"__metadata__": {f"k{i}": "v" * 5000 for i in range(100)}} | many, bytes(2000))).metadata
    assert (len(metadata["tensors"]), metadata["tensor_count"], metadata["dtypes"]) == (256, 2000, {"U8": 2000})
    assert len(metadata["file_metadata"]) == 64
    assert metadata["file_metadata_count"] == 100
    long = {"x" * 60_000: F32}
    assert looked_at(file(long, bytes(8))).metadata["tensors"] == []
