"""Workers are killed while they learn: what they said and learned is what one that never died would have."""

import asyncio
import contextlib
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from support.processes import datamanager_worker, served

from datamanager.config import Config
from datamanager.inference.online.pipeline import Pipeline
from datamanager.inference.online.spec import read_spec
from datamanager.storage.mongo import Mongo, open_mongo

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

S_NS = 1_000_000_000
T0_NS = 1_700_000_000 * S_NS
KILLS = int(os.environ.get("KILLS", "20"))
OPTIONS = {
    "windows": {"seconds": 1, "lateness_s": 0},
    "anomaly": {"method": "trees", "warm_up": 10},
    "learn": {"target": "a", "features": ["b"], "model": "tree"},
    "drift": {},
}


def samples(number: int) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    """Those of one message: a second of 50 Hz."""
    rng = np.random.default_rng([5, number])
    t = number + np.arange(50) / 50
    level = 3.0 if number > 120 else 0.0
    a = np.sin(t) + rng.normal(0, 0.1, 50) + level
    return (T0_NS + t * S_NS).astype(np.int64), {"a": a, "b": 2 * a + rng.normal(0, 0.1, 50)}


def message(number: int) -> dict[str, Any]:
    t_ns, channels = samples(number)
    return {
        "robot_id": "arm",
        "session_id": "s",
        "producer": "p",
        "data_type": "time_series",
        "stream": "joints",
        "seq": number,
        "payload": {"t_ns": t_ns.tolist(), "channels": {name: x.tolist() for name, x in channels.items()}},
    }


def wanted(count: int) -> dict[str, Any]:
    """What one process says that takes in the same samples and never dies, by what it is of."""
    pipeline = Pipeline(read_spec(OPTIONS))
    said = {}
    for number in range(count):
        pipeline.add(*samples(number))
        for answer in pipeline.advance():
            for part, values in answer.parts.items():
                said[f"arm/s/joints@{answer.end_ns}/{part}"] = values
    return said


async def found(mongo: Mongo) -> dict[str, Any]:
    return {d["of"]: flat(d["values"]) async for d in mongo.durable("results").find({"enrichment": "odd"})}


async def steps(mongo: Mongo) -> int:
    """How many were taken."""
    document = await mongo.durable("analytics").find_one({"rule": "odd"})
    return 0 if document is None else int(document["generation"])


def flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """`{"a": {"mean": 1}}`, as MongoDB has it, as `{"a.mean": 1}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


async def test_killed_workers_say_and_learn_what_one_that_lives_would(config: Config, tmp_path: Path) -> None:
    quick = {"DATAMANAGER_SWEEP_INTERVAL_S": "0.5", "DATAMANAGER_FLUSH_INTERVAL_S": "0.1"}
    rng = random.Random(1)  # noqa: S311  # guards nothing
    sent, kills, between = 0, 0, 0
    with served(config, log=tmp_path / "serve.log", **quick) as url:
        async with (
            httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as http,
            open_mongo(config.mongo) as mongo,
        ):
            rule = {"kind": "time_series", "stream": "joints", "options": OPTIONS}
            assert (await http.put("/enrichments/odd", json=rule)).status_code == 200
            await asyncio.sleep(1.5)

            async def send(until_s: float) -> None:
                nonlocal sent
                while time.monotonic() < until_s:
                    answer = await http.post("/ingest", json={"batch_id": "b", "messages": [message(sent)]})
                    assert answer.json()["accepted"] == 1, answer.text
                    sent += 1
                    await asyncio.sleep(0.05)

            while kills < KILLS:
                with contextlib.ExitStack() as stack:
                    workers = [
                        stack.enter_context(datamanager_worker(config, log=tmp_path / "worker.log", **quick))
                        for _ in range(2)
                    ]
                    before, end_s = await steps(mongo), time.monotonic() + 60
                    while await steps(mongo) == before:  # they start, and have begun to look
                        assert time.monotonic() < end_s, (tmp_path / "worker.log").read_text()[-2000:]
                        await send(time.monotonic() + 0.1)
                    await send(time.monotonic() + rng.uniform(0.0, 1.5))
                    for worker in workers:
                        worker.kill()
                        kills += 1
                    document = await mongo.durable("analytics").find_one({"rule": "odd"})
                    between += bool(document and document["unwritten"])
            want = await asyncio.to_thread(wanted, sent)
            with datamanager_worker(config, log=tmp_path / "worker.log", **quick):
                end_s = time.monotonic() + 120
                while len(await found(mongo)) < len(want):
                    assert time.monotonic() < end_s, (len(await found(mongo)), len(want))
                    await asyncio.sleep(0.5)
                await asyncio.sleep(2)
            assert await found(mongo) == want
            document = await mongo.durable("analytics").find_one({"rule": "odd"})
            assert document is not None
            assert (document["windows"], document["unwritten"]) == (sent - 1, False)
    said = {
        "kills": kills,
        "steps": document["generation"],
        "between step and results": between,
        "messages": sent,
        "results": len(want),
    }
    sys.__stderr__.write(f"\n{msgspec.json.encode(said).decode()}\n")
