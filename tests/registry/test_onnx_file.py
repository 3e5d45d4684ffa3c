"""Whether bytes are an ONNX model is told from them as they come by, in pieces of any size."""

import random

import onnx
import pytest
from support.onnx_models import tiny_model

from datamanager.errors import Refused
from datamanager.storage.onnx_file import MAX_FIELDS, OnnxScan

MODEL = tiny_model()
HEAD = b"\x08\x09"  # ir_version 9


def scan(data: bytes, step: int = 1 << 20) -> None:
    found = OnnxScan()
    for i in range(0, len(data), step):
        found.feed(memoryview(data)[i : i + step])
    found.finish()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1 << 20])
def test_a_model_is_known_in_pieces_of_any_size(step: int) -> None:
    scan(MODEL, step)


def test_models_with_everything_that_a_model_may_have() -> None:
    model = onnx.load_model_from_string(tiny_model(padding=300))
    model.producer_name, model.producer_version, model.domain, model.model_version = "p", "1", "d", 2**40
    onnx.helper.set_model_props(model, {f"key {n}": "value" * n for n in range(200)})
    model.functions.append(
        onnx.helper.make_function("d", "f", ["a"], ["b"], [onnx.helper.make_node("Abs", ["a"], ["b"])], [])
    )
    scan(model.SerializeToString())


def test_fields_that_are_not_known_yet_are_passed_over() -> None:
    scan(MODEL + b"\xf9\x06" + bytes(8) + b"\xfd\x06" + bytes(4) + b"\xf8\x06\x01")  # field 111, three wire types


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no ir_version"),
        (b"\x00", "field 0"),
        (b"PK\x03\x04" + bytes(100), "none of a model's"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "this is no ONNX model"),
        (b'{"nodes": []}', "this is no ONNX model"),
        (bytes(1000), "field 0"),
        (b"\x0a\x02ab", "field 1 of wire type 2"),
        (b"\x08\x00", "ir_version 0"),
        (b"\x08\xe9\x07", "ir_version 1001"),
        (b"\x08" + b"\xff" * 10, "too long"),
        (HEAD + b"\x3a\x00", "graph is empty"),
        (HEAD + b"\x3b", "field 7 of wire type 3"),
        (HEAD + b"\x7b", "wire type 3"),
        (HEAD, "no graph"),
        (HEAD + b"\x3a\x02xx", "no opset_import"),
        (HEAD + b"\x42\x02xx", "no graph"),
        (HEAD + b"\x3a\xff\xff\xff\xff\x7f", "cut off"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, why: str) -> None:
    for step in (1, 1 << 20):
        with pytest.raises(Refused, match=why) as refused:
            scan(data, step)
        assert refused.value.code == "bad_payload"


def test_a_model_cut_off_anywhere_is_refused() -> None:
    whole = 0
    for end in range(len(MODEL)):
        try:
            scan(MODEL[:end])
        except Refused:
            continue
        whole += 1
    assert whole == 0


def test_there_are_only_so_many_fields() -> None:
    assert len(onnx.load_model_from_string(MODEL).ListFields()) == 3
    scan(HEAD * (MAX_FIELDS - 3) + MODEL)
    with pytest.raises(Refused, match="more than"):
        scan(HEAD * (MAX_FIELDS - 2) + MODEL)


def test_noise_is_refused() -> None:
    for seed in range(300):
        noise = random.Random(seed).randbytes(200)  # noqa: S311  # noise, not secrets
        with pytest.raises(Refused):
            scan(noise, 13)
