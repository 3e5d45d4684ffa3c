"""Workers that are killed while they judge: every alert fires once and clears once, and every webhook hears of it."""

import asyncio
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.processes import datamanager_worker, served
from support.webhooks import webhook_target

from datamanager.config import Config

S = 1_000_000_000
START = 1_750_000_000
EPISODE = 8  # samples, of which the rule fires with the third


def samples(number: int) -> list[float]:
    return [
        0.0 if n % EPISODE < 2 or n % EPISODE >= 6 else 99.0 for n in range(number * EPISODE, (number + 1) * EPISODE)
    ]


async def send(http: httpx.AsyncClient, number: int) -> None:
    """One episode, durable on return."""
    first = START + number * EPISODE
    payload = {"t_ns": [(first + n) * S for n in range(EPISODE)], "channels": {"t": samples(number)}}
    place = {"robot_id": "k", "session_id": "s", "producer": "p", "stream": "temp"}
    body = place | {"data_type": "time_series", "seq": number, "payload": payload}
    answer = await http.post("/ingest", json=body)
    assert answer.json()["rejected"] == 0, answer.text


def kill(process: subprocess.Popen[bytes]) -> None:
    """As a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def run_under_kills(config: Config, folder: Path, kills: int, *, pause_s: float) -> Counter[str]:
    """Sends episodes while a worker is killed again and again, and holds what came of them.

    Returns:
        How often each webhook call came: keys to counts.
    """
    rng = random.Random(1)  # noqa: S311  # moments to kill at, the same in every run
    events = replace(config.events, webhook_private="allow", webhook_timeout_s=1.0)
    workers = replace(config.worker, sweep_interval_s=0.5, job_timeout_s=2.0)
    config = replace(config, events=events, worker=workers)
    sent = 0
    with served(config, log=folder / "serve.log") as url:
        async with (
            webhook_target() as target,
            httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as http,
        ):
            rule = {"channel": "t", "op": ">", "threshold": 50, "webhook": {"url": f"{target.url}/hook"}}
            assert (await http.put("/alerts/rules/hot", json=rule)).status_code == 200
            await asyncio.sleep(1.1)
            stop = asyncio.Event()

            async def keep_sending() -> None:
                nonlocal sent
                while not stop.is_set():
                    await send(http, sent)
                    sent += 1
                    await asyncio.sleep(pause_s)

            sending = asyncio.create_task(keep_sending())
            for n in range(kills):
                with datamanager_worker(config, log=folder / f"worker{n}.log") as process:
                    before = len(target.calls)
                    async with asyncio.timeout(60):
                        while len(target.calls) <= before:  # noqa: ASYNC110  # soon enough, and it is at work
                            await asyncio.sleep(0.02)
                    await asyncio.sleep(rng.uniform(0.0, 0.4))
                    kill(process)
            stop.set()
            await sending
            with datamanager_worker(config, log=folder / "last.log"):
                await _until_all_is_told(http, target.calls, sent)
                await asyncio.sleep(1)
            alerts = await _every_alert(http)
            assert sorted(int(a["fired_ns"]) for a in alerts) == [(START + n * EPISODE + 2) * S for n in range(sent)]
            assert sorted(int(a["cleared_ns"]) for a in alerts) == [(START + n * EPISODE + 6) * S for n in range(sent)]
            told = await _every_event(http)
            assert Counter((e["data"]["alert_id"], e["event_type"]) for e in told) == {
                (a["alert_id"], f"alert_{said}"): 1 for a in alerts for said in ("fired", "cleared")
            }
            assert all(d["state"] == "sent" for a in alerts for d in a["deliveries"].values())
            return Counter(call.headers["idempotency-key"] for call in target.calls)


async def _every_alert(http: httpx.AsyncClient) -> list[dict[str, str]]:
    found, query = [], {"limit": "1000"}
    while True:
        page = (await http.get("/alerts", params=query)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def _every_event(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"types": "alert_events", "limit": "1000", "after": "0"}
    while True:
        page = (await http.get("/events", params=query)).json()
        found += page["items"]
        if query["after"] == page["after"]:
            return found
        query["after"] = page["after"]


async def _until_all_is_told(http: httpx.AsyncClient, calls: list[object], sent: int) -> None:
    async with asyncio.timeout(120):
        while True:
            alerts = await _every_alert(http)
            done = [
                a
                for a in alerts
                if a["state"] == "cleared" and all(d["state"] == "sent" for d in a["deliveries"].values())
            ]
            if len(done) == sent and len(calls) >= 2 * sent:
                return
            await asyncio.sleep(0.2)


@pytest.mark.soak
async def test_a_few_kills_double_and_lose_nothing(config: Config, tmp_path: Path) -> None:
    keys = await run_under_kills(config, tmp_path, 2, pause_s=0.1)
    assert len(keys) >= 2


@pytest.mark.soak
async def test_many_kills_double_and_lose_nothing(new_config: Callable[[], Config], tmp_path: Path) -> None:
    keys = await run_under_kills(new_config(), tmp_path, 40, pause_s=0.1)
    print(f"{len(keys)} calls under keys of their own, {sum(keys.values()) - len(keys)} of them repeated")  # noqa: T201  # for who runs it
