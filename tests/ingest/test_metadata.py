"""Maps that senders fill as they like are kept whole, or refused before MongoDB sees them."""

from datetime import UTC, datetime
from typing import Any

import bson
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_robot import RawRobot
from support.waiting import eventually

from datamanager.errors import Refused
from datamanager.ingest.metadata import check_map

ODD_KEYS = {"": 1, "a.b": 2, "$dtype": "x", "$set": {"$unset": [1, {"": None}]}, "ü": True, "__proto__": 0.5}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.datetimes()
    | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=10,
)


def refused(value: object, max_bytes: int = 1000, max_depth: int = 5) -> str:
    with pytest.raises(Refused) as found:
        check_map(value, "metadata", max_bytes=max_bytes, max_depth=max_depth)
    return found.value.code


@given(st.dictionaries(st.text(max_size=3) | st.integers(), ANYTHING, max_size=4))
def test_what_passes_has_a_form_in_bson(value: dict[Any, Any]) -> None:
    try:
        check_map(value, "metadata", max_bytes=1000, max_depth=10)
    except Refused as error:
        assert "metadata" in error.detail  # noqa: PT017  # either is right
        return
    assert bson.encode(value)


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    assert refused(5) == "wrong_type"
    for bad in (
        {"a": 2**63},
        {"a": [-(2**63) - 1]},
        {"a\0": 1},
        {1: 2},
        {"a": {"b": {None: 1}}},
        {"$ref": 1},
        {"a": 1j},
    ):
        assert refused(bad) == "bad_payload", bad


def test_maps_are_taken_up_to_the_limits() -> None:
    check_map({"ab": "x" * 982}, "metadata", max_bytes=1000, max_depth=1)
    assert refused({"ab": "x" * 983}) == "too_large"
    check_map({"a": [{"b": [{}]}]}, "metadata", max_bytes=1000, max_depth=5)
    assert refused({"a": [{"b": [{}]}]}, max_depth=4) == "too_deep"
    check_map({"t": datetime.now(UTC), "n": 2**63 - 1}, "metadata", max_bytes=1000, max_depth=1)


async def test_odd_keys_are_kept_wherever_a_map_is(server: str) -> None:
    async with RawRobot(server, "odd_keys") as robot:
        await robot.hello(config=ODD_KEYS, metadata=ODD_KEYS)
        await robot.send(0, metadata=ODD_KEYS)
        await robot.send(0, {"message": "m", "metadata": ODD_KEYS}, data_type="log", stream="l", metadata={"a.b": 3})
        await robot.until(lambda: robot.acked == {"x": 0, "l": 0})
        assert not robot.rejects
    async with httpx.AsyncClient(base_url=f"{server}/api/v1/sessions/raw/odd_keys", trust_env=False) as http:
        session = (await http.get("")).json()
        assert (session["config"], session["metadata"]) == (ODD_KEYS, ODD_KEYS)
        streams = {s["stream"]: s for s in (await http.get("/streams")).json()["items"]}
        assert streams["x"]["metadata"] == ODD_KEYS
        [record] = (await http.get("/records", params={"stream": "l"})).json()["items"]
        assert record["metadata"].items() >= (ODD_KEYS | {"a.b": 3}).items()


async def test_a_streams_metadata_is_merged_and_bounded(server: str) -> None:
    async with RawRobot(server, "merged") as robot:
        most = (await robot.hello())["limits"]["max_metadata_bytes"]
        for seq in range(5):
            await robot.send(seq, metadata={f"k{seq}": "x" * (most // 4), "n": seq})
        await robot.until(lambda: robot.acked.get("x") == 4)
        assert [(r["seq"], r["code"]) for r in robot.rejects] == [(3, "too_large"), (4, "too_large")]
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:

        async def merged() -> bool:
            [stream] = (await http.get("/api/v1/sessions/raw/merged/streams")).json()["items"]
            return bool(stream["metadata"].keys() == {"k0", "k1", "k2", "n"} and stream["metadata"]["n"] == 2)

        await eventually(merged)
