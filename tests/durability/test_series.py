"""Rows of a table are in their stream once each, whoever dies while they are fed, and however many feed them."""

import asyncio
from pathlib import Path
from typing import Any

from support.processes import clean_environ, datamanager, http_status, served, wait_until
from support.raw_robot import T0, RawRobot, read_range

from datamanager.config import Config
from datamanager.local.ports import HeldPorts
from datamanager.storage.mongo import Mongo, open_mongo

ROWS = 150_000


def table() -> bytes:
    return b"t,n\n" + b"".join(b"%d.%02d,%d\n" % (1_700_000_000 + i // 100, i % 100, i) for i in range(ROWS))


async def test_a_table_fed_by_two_servers_of_which_one_is_killed_is_there_once(config: Config, tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    async with open_mongo(config.mongo) as mongo:
        with served(config, log=tmp_path / "two.log") as url, HeldPorts() as held:
            port = held.choose()
            with datamanager("serve", log=log, env=clean_environ(config, DATAMANAGER_PORT=str(port))) as process:
                wait_until(lambda: http_status(f"http://127.0.0.1:{port}/ready") == 200, process=process, log=log)
                async with RawRobot(f"http://127.0.0.1:{port}", "s") as robot:
                    await robot.hello()
                    payload = {"data": table(), "time_column": "t"}
                    await robot.put({"data_type": "csv", "stream": "csv", "seq": 0, "t_ns": T0, "payload": payload})
                    await robot.until(lambda: "csv" in robot.acked)
                await until(mongo, lambda series: series["rows"] > 0)
                await as_if_its_time_were_over(mongo)  # from here on both feed it, or the other one alone
                await until(mongo, lambda series: series["rows"] > ROWS // 4)
                process.kill()
            await as_if_its_time_were_over(mongo)
            told = await until(mongo, lambda series: series["state"] != "pending")
            rows = await read_range(url, "s", "csv/rows")
    assert told["state"] == "done"
    assert [row["n"] for row in rows] == list(range(ROWS))


async def until(mongo: Mongo, condition: Any) -> dict[str, Any]:
    """What is kept of the feeding, once it is so, or all is done."""
    async with asyncio.timeout(60):
        while True:
            series: dict[str, Any] = (await mongo.durable("records").find_one({"kind": "csv"}) or {})["series"]
            if condition(series) or series["state"] != "pending":
                return series
            await asyncio.sleep(0.02)  # the database has to be asked


async def as_if_its_time_were_over(mongo: Mongo) -> None:
    await mongo.durable("records").update_one({"series.state": "pending"}, {"$set": {"series.due_ns": 0}})
