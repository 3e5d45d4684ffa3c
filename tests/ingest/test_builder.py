"""However samples came together in a block, its rows are those samples, in time order, with their statistics."""

import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.ingest.builder import BlockBuilder, BuiltBlock
from datamanager.kinds.time_series.columns import parse_columns
from datamanager.storage.blocks import SYSTEM_COLUMNS, decode_batch, schema_hash
from datamanager.storage.statistics import pack_columns

HOUR = 3_600_000_000_000
T = st.integers(0, 50)
FLOATS = st.floats(width=64)
NAMES = st.sampled_from([("a",), ("a", "b"), ("b", "c"), ("c",)])


def batch_of(built: BuiltBlock) -> pa.RecordBatch:
    assert schema_hash(built.schema_ipc) == built.schema
    return decode_batch(built.data, pa.ipc.read_schema(pa.py_buffer(built.schema_ipc)))


def rows_of(built: BuiltBlock) -> list[tuple[int, int, dict[str, Any]]]:
    batch = batch_of(built)
    names = batch.schema.names
    assert names[:2] == ["t_ns", "seq"]
    assert names[2:] == sorted(names[2:])
    rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return [(row[0], row[1], dict(zip(names[2:], row[2:], strict=True))) for row in rows]


def bits(value: Any) -> object:
    return struct.pack("<d", value) if isinstance(value, float) and not math.isnan(value) else str(value)


def add_columnar(
    builder: BlockBuilder, seq: int, t_ns: list[int], channels: dict[str, list[Any]], *, dense: bool
) -> None:
    values = {n: np.array(v).tobytes() if dense else v for n, v in channels.items()}
    columns = parse_columns({"t_ns": t_ns, "channels": values}, max_channels=10, from_json=False)
    builder.add_columns(seq, columns, min(t_ns), max(t_ns))


MESSAGES = st.lists(
    st.tuples(NAMES, st.lists(st.tuples(T, FLOATS, FLOATS), min_size=1, max_size=4)), min_size=1, max_size=5
)


@given(MESSAGES, st.lists(st.sampled_from(["dense", "lists", "rows"]), min_size=5, max_size=5))
def test_the_rows_are_the_samples_whichever_way_they_came(
    messages: list[tuple[tuple[str, ...], list[tuple[int, float, float]]]], ways: list[str]
) -> None:
    builder, want = BlockBuilder(), []
    for at, ((names, samples), way) in enumerate(zip(messages, ways, strict=False)):
        t_ns = [t for t, *_ in samples]
        channels = {name: [sample[1 + i] for sample in samples] for i, name in enumerate(names)}
        if way == "rows":
            for k, (t, *values) in enumerate(samples):
                leaves = tuple(values[: len(names)])
                builder.add_sample(10 * at + k, t, names, leaves, from_json=False, size_bytes=16 + 8 * len(leaves))
                want.append((t, 10 * at + k, dict(zip(names, leaves, strict=True))))
        else:
            add_columnar(builder, 10 * at, t_ns, channels, dense=way == "dense")
            want += [(t, 10 * at, {n: channels[n][i] for n in names}) for i, t in enumerate(t_ns)]
    built = builder.build()
    want.sort(key=lambda row: row[0])  # stable: equal times stay as they came
    got = rows_of(built)
    assert [row[:2] for row in got] == [row[:2] for row in want]
    for (_, _, found), (_, _, wanted) in zip(got, want, strict=True):
        assert {n: bits(v) for n, v in found.items()} == {n: bits(wanted.get(n)) for n in found}
    assert (built.t_ns, built.t_end_ns, built.n) == (want[0][0], want[-1][0], len(want))
    # Statistics made again from the block, after a crash, are those that were made with it.
    np.testing.assert_allclose(
        np.frombuffer(pack_columns(batch_of(built).columns[SYSTEM_COLUMNS:]), np.float64),
        np.frombuffer(built.statistics, np.float64),
        rtol=1e-9,
    )


def test_a_run_of_samples_bears_numbers_one_by_one_and_a_columnar_message_one_for_all() -> None:
    builder = BlockBuilder()
    columns = parse_columns({"t_ns": [3, 1, 2], "channels": {"a": [3.5, 1.5, 2.5]}}, max_channels=1, from_json=False)
    builder.add_run(10, columns, 1, 3)
    builder.add_columns(13, columns, 1, 3)
    assert [(t, seq, row["a"]) for t, seq, row in rows_of(builder.build())] == [
        (1, 11, 1.5),
        (1, 13, 1.5),
        (2, 12, 2.5),
        (2, 13, 2.5),
        (3, 10, 3.5),
        (3, 13, 3.5),
    ]


def test_a_channel_that_changes_type_within_a_block_widens() -> None:
    builder = BlockBuilder()
    for seq, value in enumerate([1, None, 0.5, 2**53 + 1, True, "on"]):
        builder.add_sample(seq, seq, ("a",), (value,), from_json=False, size_bytes=24)
    built = builder.build()
    assert built.channel_types == {"a": "string"}
    assert [row["a"] for *_, row in rows_of(built)] == ["1", None, "0.5", str(2**53 + 1), "true", "on"]
    assert built.statistics == b""


def test_a_block_keeps_within_its_size_and_one_hour() -> None:
    builder = BlockBuilder()
    assert builder.fits(("a",), 1, 0, 9 * HOUR, 10**9, 100)  # a message is never parted
    builder.add_sample(0, HOUR - 1, ("a",), (1.0,), from_json=False, size_bytes=24)
    assert builder.fits(("a",), 1, 0, HOUR - 1, 76, 100)
    assert not builder.fits(("a",), 1, 0, HOUR - 1, 77, 100)
    assert not builder.fits(("a",), 1, HOUR, HOUR, 24, 100)


@given(
    st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1).map(lambda s: tuple(sorted(s))), min_size=1, max_size=30)
)
def test_a_block_of_ever_other_channels_is_as_large_as_it_said(shapes: list[tuple[str, ...]]) -> None:
    builder = BlockBuilder()
    for seq, names in enumerate(shapes):
        said = builder.size_bytes
        fits = builder.fits(names, 1, seq, seq, 16 + 8 * len(names), 1000)
        builder.add_sample(seq, seq, names, (1.0,) * len(names), from_json=False, size_bytes=16 + 8 * len(names))
        assert fits == (seq == 0 or builder.size_bytes <= 1000), (said, builder.size_bytes)
    table = batch_of(builder.build())
    assert builder.size_bytes == 8 * table.num_rows * table.num_columns


def test_a_known_layout_makes_blocks_alike_when_that_costs_little() -> None:
    layout = {"a": "float", "b": "int", "c": "string"}
    schemas = set()
    for names in (("a",), ("b",), ("a", "b")):
        builder = BlockBuilder()
        for seq in range(3):
            builder.add_sample(seq, seq, names, (1,) * len(names), from_json=False, size_bytes=24)
        built = builder.build(layout)
        schemas.add(built.schema)
        assert [set(row) for *_, row in rows_of(built)] == [{"a", "b", "c"}] * 3
        assert [row["a"] for *_, row in rows_of(built)] == [1.0 if "a" in names else None] * 3
    assert len(schemas) == 1
    huge = {f"c{i}": "float" for i in range(8000)}
    assert builder.build(huge).channel_types.keys() == {"a", "b"}


@pytest.mark.parametrize("layout", [{"a": "float"}, {"a": "float", "b": "null"}])
def test_a_layout_changes_no_value_of_a_block_of_floats(layout: dict[str, str]) -> None:
    builder = BlockBuilder()
    add_columnar(builder, 0, [1, 2], {"a": [0.5, math.inf]}, dense=True)
    built = builder.build(layout)
    assert [float(str(row["a"])) for *_, row in rows_of(built)] == [0.5, math.inf]
    assert built.channel_types == layout


def test_numbers_become_no_text_for_a_layouts_sake() -> None:
    builder = BlockBuilder()
    builder.add_sample(0, 1, ("a",), (0.5,), from_json=False, size_bytes=24)
    built = builder.build({"a": "string", "b": "string"})
    assert built.channel_types == {"a": "float", "b": "string"}
    assert rows_of(built) == [(1, 0, {"a": 0.5, "b": None})]
