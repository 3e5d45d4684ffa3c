"""Every format gives back every value of a range, to the nanosecond and the last bit."""

import csv
import io
import json
import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import served
from support.raw_robot import T0, RawRobot

from datamanager.config import Config
from datamanager.errors import Refused
from datamanager.playback.range_formats import FORMATS, encode_range

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=5) | st.sampled_from(["", '"', "a,b", "line\r\nbreak", "日本 🤖", "NaN", " x ", "null"])
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "float": (pa.float64(), st.floats()),
    "float32": (pa.float32(), st.floats(width=32)),
    "int": (pa.int64(), INT64),
    "null": (pa.null(), st.none()),
    "text": (pa.string(), TEXT),
    "whole": (pa.float64(), st.floats()),  # without gaps, as bytes in MessagePack
    "count": (pa.int64(), INT64),  # a channel may bear the name of a column
    "t_end_ns": (pa.int64(), INT64),
    "ü.1": (pa.int64(), INT64),
}


@st.composite
def tables(draw: st.DrawFn) -> list[pa.Table]:
    times = sorted(draw(st.lists(st.integers(0, 2**63 - 1), max_size=6)))
    names = sorted(draw(st.sets(st.sampled_from(list(COLUMNS)))))
    schema = pa.schema([pa.field("t_ns", pa.int64(), nullable=False), *(pa.field(n, COLUMNS[n][0]) for n in names)])
    columns: list[pa.Array] = [pa.array(times, pa.int64())]
    for name in names:
        kind, values = COLUMNS[name]
        wanted = values if name == "whole" else st.none() | values
        columns.append(pa.array([draw(wanted) for _ in times], kind))
    table = pa.Table.from_arrays(columns, schema=schema)
    cut = draw(st.integers(0, len(times)))
    return [table.slice(0, cut), table.slice(cut)]


def bits(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return (type(value), value)


def rows_of(parts: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for part in parts for row in part.to_pylist()]


def number(value: Any, kind: pa.DataType) -> Any:
    """A JSON value as its channel has it."""
    if value is None or not pa.types.is_floating(kind):
        return value
    return WORDS[value] if isinstance(value, str) else float(value)


def across(times: list[int], channels: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{"t_ns": t} | {name: values[i] for name, values in channels.items()} for i, t in enumerate(times)]


def read(name: str, body: bytes, schema: pa.Schema) -> list[dict[str, Any]]:
    kinds = {field.name: field.type for field in schema}
    match name:
        case "arrow":
            table = pa.ipc.open_stream(body).read_all()
            assert table.schema == schema
            found: list[dict[str, Any]] = table.to_pylist()
            return found
        case "ndjson":
            rows = [json.loads(line) for line in body.decode().split("\n") if line]
            assert all(abs(row.pop("timestamp") - int(row["t_ns"]) / 1e9) < 1e-6 for row in rows)
            return [{n: int(v) if n == "t_ns" else number(v, kinds[n]) for n, v in row.items()} for row in rows]
        case "json":
            said = json.loads(body)
            assert said["stream"] == "s"
            times = [int(said["start_ns"]) + offset for offset in said["offset_ns"]]
            return across(times, {n: [number(v, kinds[n]) for v in values] for n, values in said["channels"].items()})
        case "msgpack":
            said = msgspec.msgpack.decode(body)
            lists = {
                n: np.frombuffer(v, np.dtype(said["dtypes"][n]).newbyteorder("<")).tolist()
                if isinstance(v, bytes)
                else v
                for n, v in {"offset_ns": said["offset_ns"], **said["channels"]}.items()
            }
            return across([said["start_ns"] + offset for offset in lists.pop("offset_ns")], lists)
        case _:
            raise AssertionError(name)


async def encoded(name: str, parts: list[pa.Table], start_ns: int = 0) -> bytes:
    async def some() -> AsyncIterator[pa.Table]:
        for part in parts:
            if part.num_rows:
                yield part

    mime, body = encode_range(name, "s", parts[0].schema, some(), start_ns=start_ns)
    assert "/" in mime
    return b"".join([piece async for piece in body])


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"csv", "parquet"}))
@given(parts=tables())
async def test_every_value_comes_back_to_the_last_bit(name: str, parts: list[pa.Table]) -> None:
    found = read(name, await encoded(name, parts), parts[0].schema)
    want = rows_of(parts)
    assert [{n: bits(v) for n, v in row.items()} for row in found] == [{n: bits(v) for n, v in r.items()} for r in want]


@given(parts=tables())
async def test_csv_tells_a_missing_value_from_an_empty_text(parts: list[pa.Table]) -> None:
    text = (await encoded("csv", parts)).decode()
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert head == parts[0].schema.names
    want = rows_of(parts)
    assert len(lines) == len(want)
    for line, row in zip(lines, want, strict=True):
        for cell, value in zip(line, row.values(), strict=True):
            match value:
                case None:
                    assert cell == ""
                case bool():
                    assert cell == str(value).lower()
                case float():
                    assert bits(float(np.float64(cell))) == bits(value) or np.float32(cell) == np.float32(value)
                case _:
                    assert cell == str(value)
    assert "" not in [row.get("text") for row in want] or '""' in text


@pytest.mark.parametrize("name", sorted(FORMATS))
async def test_a_range_of_nothing_is_a_whole_answer(name: str) -> None:
    schema = pa.schema([("t_ns", pa.int64()), ("x", pa.float64())])
    body = await encoded(name, [schema.empty_table()], start_ns=5)
    if name == "csv":
        assert body == b'"t_ns","x"\n'
    elif name != "parquet":
        assert read(name, body, schema) == []
    if name in ("json", "msgpack"):
        said = json.loads(body) if name == "json" else msgspec.msgpack.decode(body)
        assert int(said["start_ns"]) == 5


async def test_a_sample_keeps_its_own_time_whatever_its_channels_are_called() -> None:
    schema = pa.schema([("t_ns", pa.int64()), ("t_ns", pa.int64()), ("timestamp", pa.float64())])
    table = pa.Table.from_arrays([pa.array([T0]), pa.array([1]), pa.array([2.0])], schema=schema)
    assert json.loads(await encoded("ndjson", [table]))["t_ns"] == str(T0)
    for name in ("json", "msgpack"):
        body = await encoded(name, [table])
        said = json.loads(body) if name == "json" else msgspec.msgpack.decode(body)
        assert int(said["start_ns"]) == T0
        assert said["channels"].keys() == {"t_ns", "timestamp"}


def test_a_format_that_there_is_not_is_refused() -> None:
    with pytest.raises(Refused):
        encode_range("xml", "s", pa.schema([]), None, start_ns=0)  # type: ignore[arg-type]  # never read


async def test_what_is_asked_for_wrongly_is_a_problem_that_names_it(
    server_config: Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("few") / "serve.log"
    with served(server_config, log=log, DATAMANAGER_MAX_GATHERED_VALUES="20", DATAMANAGER_MAX_POINTS="5") as url:
        async with RawRobot(url, "formats") as robot:
            await robot.hello()
            await robot.send(0, {"t_ns": [T0 + i for i in range(10)], "channels": {"a": [1] * 10, "b": ["x"] * 10}})
            await robot.send(0, {"message": "m"}, data_type="log", stream="l")
            await robot.until(lambda: robot.acked.keys() == {"x", "l"})
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:

            async def ask(**params: Any) -> tuple[int, str]:
                answer = await http.get("/api/v1/sessions/raw/formats/range", params={"stream": "x"} | params)
                if answer.status_code == 200:
                    return 200, ""
                assert answer.headers["content-type"] == "application/problem+json"
                return answer.status_code, answer.json()["code"]

            for name in ("json", "msgpack"):
                assert await ask(format=name, channels="a") == (200, "")  # twenty values with the times
                assert await ask(format=name) == (413, "range_too_large")
                assert await ask(format=name, max_points=5) == (200, "")
            assert await ask(format="arrow") == (200, "")
            assert await ask(max_points=6) == (400, "too_large")
            assert await ask(max_points=0) == (400, "wrong_type")
            assert await ask(format="xml") == (400, "malformed")
            assert await ask(stream="nope") == (404, "not_found")
            assert await ask(stream="l") == (400, "kind_mismatch")
            assert await ask(channels="nope") == (404, "not_found")
            assert await ask(start="yesterday") == (400, "bad_time")
            assert await ask(start=5, end=4) == (400, "bad_time")
