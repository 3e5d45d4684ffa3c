"""What a killed process leaves in MongoDB: blocks without statistics, written twice, or late."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import websockets
from support.verdict import stored_ids

from datamanager.config import Config
from datamanager.storage.blocks import Block, block_schema, encode_batch, schema_hash
from datamanager.storage.ledgers import LedgerChange, Ledgers
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.statistics import pack
from datamanager.storage.telemetry import Telemetry


@pytest.fixture
async def mongo(server_config: Config, server: str) -> AsyncIterator[Mongo]:  # noqa: ARG001  # the server makes the schema
    async with open_mongo(server_config.mongo) as opened:
        yield opened


def block(
    session: str, first: int, last: int, *, prev: int | None, generation: int | None = None, auto: bool = False
) -> Block:
    """A block of the samples `first` to `last`, as another process wrote it: `id` and time are the number."""
    ids = np.arange(first, last + 1)
    schema = block_schema(("id",), [pa.int64()])
    ipc = schema.serialize().to_pybytes()
    return Block(
        robot_id="kills",
        session_id=session,
        stream="s",
        producer="p",
        t_ns=first,
        t_end_ns=last,
        n=len(ids),
        seqs=[(first, last)],
        prevs=[prev],
        auto=auto,
        messages=len(ids),
        size_bytes=10 * len(ids),
        schema=schema_hash(ipc),
        schema_ipc=ipc,
        channel_types={"id": "int"},
        data=encode_batch(schema, ids, ids, [pa.array(ids)]),
        statistics=pack(ids[np.newaxis].astype(np.float64)),
        generation=int(time.time()) if generation is None else generation,
    )


@asynccontextmanager
async def robot(server: str, session: str) -> AsyncIterator["Robot"]:
    async with websockets.connect(f"ws{server[4:]}/api/v1/ingest", proxy=None) as ws:
        await ws.send(json.dumps({"type": "hello", "robot_id": "kills", "session_id": session, "producer": "p"}))
        yield Robot(ws, json.loads(await ws.recv())["acked"])


class Robot:
    """A producer that was welcomed with `acked`."""

    def __init__(self, ws: websockets.ClientConnection, acked: dict[str, int]) -> None:
        self.acked = acked
        self._ws = ws

    async def send(self, first: int, last: int, *, redelivery: bool) -> None:
        """Sends samples, and waits until they are acked."""
        for seq in range(first, last + 1):
            message: dict[str, Any] = {"data_type": "time_series", "stream": "s", "seq": seq, "t_ns": seq}
            await self._ws.send(json.dumps(message | {"payload": {"id": seq}, "redelivery": redelivery}))
        async with asyncio.timeout(10):
            while self.acked.get("s", -1) < last:
                said = json.loads(await self._ws.recv())
                assert said["type"] == "ack", said
                self.acked = said["acked"]


async def check(server: str, session: str, ids: range) -> None:
    """All ids are there, once, and counted so."""
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        assert await stored_ids(http, session, "s") == list(ids)
        place = f"/api/v1/sessions/kills/{session}"
        answer = await http.get(f"{place}/range", params={"stream": "s", "max_points": 3, "format": "arrow"})
        assert sum(pa.ipc.open_stream(answer.content).read_all()["count"].to_pylist()) == len(ids)
        [stream] = (await http.get(f"{place}/streams")).json()["items"]
        assert (stream["records"], stream["samples"]) == (len(ids), len(ids))
        told = (await http.get(place)).json()
        assert (told["first_t_ns"], told["last_t_ns"]) == (str(ids[0]), str(ids[-1]))


async def describe(server: str, session: str) -> None:
    """Makes the session, its stream and the schema, by a sample far off that is sent and then not counted."""
    async with robot(server, session) as sender:
        await sender.send(0, 0, redelivery=False)


async def test_a_block_without_its_statistics_is_found_acked_and_counted(server: str, mongo: Mongo) -> None:
    await describe(server, "bare")
    await Telemetry(mongo).insert([block("bare", 1, 30, prev=0)])
    async with robot(server, "bare") as sender:
        assert sender.acked == {"s": 30}
        await check(server, "bare", range(31))  # though nothing more is written


async def test_what_came_before_a_block_and_is_lost_holds_acks_until_it_comes_again(server: str, mongo: Mongo) -> None:
    await describe(server, "hole")
    await Telemetry(mongo).insert([block("hole", 11, 20, prev=10)])
    async with robot(server, "hole") as sender:
        assert sender.acked == {"s": 0}
        await sender.send(1, 5, redelivery=True)
        assert sender.acked == {"s": 5}
        await sender.send(6, 20, redelivery=True)
    await check(server, "hole", range(21))


@pytest.mark.parametrize("auto", [False, True])
async def test_a_block_and_statistics_written_twice_are_read_once(server: str, mongo: Mongo, auto: bool) -> None:
    session = f"twice-{auto}"
    await describe(server, session)
    twice = block(session, 1, 10, prev=0, auto=auto)
    for _ in range(2):
        await Telemetry(mongo).insert([twice])
        await Telemetry(mongo).insert_statistics([twice])
    async with robot(server, session):
        await check(server, session, range(11))


async def test_a_block_that_comes_late_from_a_dead_process_doubles_nothing(server: str, mongo: Mongo) -> None:
    await describe(server, "late")
    async with robot(server, "late") as sender:
        late = block("late", 1, 8, prev=0, generation=1)
        await sender.send(1, 5, redelivery=True)
        await Telemetry(mongo).insert([late])
        await Telemetry(mongo).insert_statistics([late])
        await sender.send(6, 20, redelivery=True)
    await check(server, "late", range(21))
    async with robot(server, "late") as sender:
        assert sender.acked == {"s": 20}
    await check(server, "late", range(21))


async def test_totals_stay_right_however_often_the_ledger_is_read_again(server: str) -> None:
    for first in range(0, 50, 10):
        async with robot(server, "again") as sender:
            assert sender.acked == ({"s": first - 1} if first else {})
            await sender.send(first, first + 9, redelivery=False)
    await check(server, "again", range(50))


async def test_a_ledger_is_not_written_over_by_an_older_state_or_by_who_was_replaced(mongo: Mongo) -> None:
    ledgers, place = Ledgers(mongo), ("kills", "ledger", "p")
    name = "/".join(place)
    await ledgers.claim(*place, "first")
    older = LedgerChange(name, ("first",), "second", {"folded_before": 1})
    newer = LedgerChange(name, ("first", "second"), "third", {"folded_before": 2})
    assert await ledgers.put([newer]) == set()
    assert await ledgers.put([older]) == {name}  # one that hung in MongoDB
    assert (await ledgers.claim(*place, "fourth"))["folded_before"] == 2
    assert await ledgers.put([LedgerChange(name, ("third",), "fifth", {"folded_before": 3})]) == {name}
    assert (await ledgers.claim(*place, "sixth"))["folded_before"] == 2
