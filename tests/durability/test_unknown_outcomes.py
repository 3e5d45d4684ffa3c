"""Writes whose answers never come: MongoDB and S3 have done them, or are still doing them while they are tried again."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.cutter import cutting
from support.processes import http_status, wait_until
from support.restartable import Restartable
from support.senders import BodySender, PlainSender, Sent
from support.verdict import check_sent

from datamanager.config import Config
from datamanager.local.ports import HeldPorts


@pytest.mark.parametrize("seed", [1])
async def test_nothing_is_lost_or_doubled_though_answers_get_lost(
    new_config: Callable[[], Config], tmp_path: Path, seed: int
) -> None:
    config = new_config()
    with HeldPorts() as held:
        mongo, s3 = held.choose(), held.choose()
        cut = replace(
            config,
            mongo=replace(config.mongo, url=_through(config.mongo.url, mongo)),
            s3=replace(config.s3, endpoint=_through(config.s3.endpoint, s3), public_endpoint=config.s3.endpoint),
        )
        server = Restartable(cut, held.choose(), tmp_path / "serve.log")
        async with (
            cutting(mongo, _port(config.mongo.url), seed, every_s=0.4) as mongo_cutter,
            cutting(s3, _port(config.s3.endpoint), seed + 1, every_s=0.4) as s3_cutter,
        ):
            server.spawn()
            try:
                await asyncio.to_thread(wait_until, lambda: http_status(f"{server.url}/health") == 200)
                mongo_cutter.may_cut.set()
                s3_cutter.may_cut.set()
                await _send(server)
                assert mongo_cutter.cuts > 10
                assert s3_cutter.cuts > 5
            finally:
                server.kill()


async def _send(server: Restartable) -> None:
    # Two connections take turns for one producer, on one server.
    plain, bodies = PlainSender([server.url] * 2, "cut", stay_s=2), BodySender([server.url], "bodies")
    senders = [asyncio.create_task(s.run()) for s in (plain, bodies)]
    await asyncio.sleep(7)
    plain.stop()
    bodies.stop()
    await asyncio.wait_for(asyncio.gather(*senders), 30)
    assert (plain.breaches, plain.rejects) == ([], [])
    for sent in (plain.sent, bodies.sent):
        await _patiently_check(server.url, sent)


async def _patiently_check(url: str, sent: Sent) -> None:
    for _ in range(20):
        try:
            return await check_sent(url, sent)
        except AssertionError as wrong:
            if "503" not in str(wrong):
                raise
    raise AssertionError("no answer without a cut")


def _port(url: str) -> int:
    found = re.search(r":(\d+)", url.partition("//")[2])
    assert found is not None
    return int(found[1])


def _through(url: str, port: int) -> str:
    return url.replace(f":{_port(url)}", f":{port}", 1)
