"""Two servers over the same databases: a producer may move between them at any moment."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import websockets
from support.processes import http_status, wait_until
from support.restartable import Restartable
from support.senders import BodySender, PlainSender
from support.verdict import check_sent, check_unnumbered

from datamanager.config import Config
from datamanager.local.ports import HeldPorts

_ENCODER = msgspec.msgpack.Encoder()


@pytest.fixture(params=["redis", pytest.param("no redis", marks=pytest.mark.soak)])
def two(
    request: pytest.FixtureRequest, new_config: Callable[[], Config], tmp_path: Path
) -> Iterator[list[Restartable]]:
    config = new_config()
    if request.param == "no redis":
        config = replace(config, redis=replace(config.redis, url="redis://127.0.0.1:1/0"))
    with HeldPorts() as held:
        servers = [Restartable(config, held.choose(), tmp_path / f"serve-{i}.log") for i in range(2)]
        try:
            for server in servers:
                server.spawn()
            for server in servers:
                wait_until(lambda url=server.url: http_status(f"{url}/health") == 200)  # type: ignore[misc]  # bound now
            yield servers
        finally:
            for server in servers:
                server.kill()


async def test_a_producer_that_moves_between_servers_loses_and_doubles_nothing_though_one_is_killed(
    two: list[Restartable],
) -> None:
    urls = [server.url for server in two]
    mover, bodies = PlainSender(urls, "moved", stay_s=0.4), BodySender(urls, "bodies")
    senders = [asyncio.create_task(s.run()) for s in (mover, bodies)]
    await asyncio.sleep(2.5)
    two[0].kill()
    await asyncio.sleep(1)
    two[0].spawn()
    await asyncio.sleep(2.5)
    for sender in (mover, bodies):
        sender.stop()
    await asyncio.wait_for(asyncio.gather(*senders), 30)
    assert mover.moves > 4
    assert (mover.breaches, mover.rejects) == ([], [])
    for sent in (mover.sent, bodies.sent):
        await check_sent(urls[1], sent)
    await check_unnumbered(urls[1], bodies)


async def test_the_older_socket_is_closed_and_acks_nothing_any_more(two: list[Restartable]) -> None:
    async with _hello(two[0].url) as older:
        await older.send(_sample(0))
        assert await _next(older) == {"type": "ack", "acked": {"s": 0}}
        async with _hello(two[1].url) as newer:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await _send_on(older)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4001
            with pytest.raises(websockets.ConnectionClosed):
                await older.recv()  # no ack waits to be read
            await newer.send(_sample(1, redelivery=True))
            assert (await _next(newer))["acked"]["s"] >= 1


class _hello:  # noqa: N801  # reads as a verb
    """A connection of one producer, welcomed."""

    def __init__(self, url: str) -> None:
        self._connecting = websockets.connect(f"ws{url[4:]}/api/v1/ingest", proxy=None, close_timeout=1)

    async def __aenter__(self) -> websockets.ClientConnection:
        ws = await self._connecting.__aenter__()
        await ws.send(_ENCODER.encode({"type": "hello", "robot_id": "two", "session_id": "s", "producer": "p"}))
        assert (await _next(ws))["type"] == "welcome"
        return ws

    async def __aexit__(self, *why: object) -> None:
        await self._connecting.__aexit__(*why)  # type: ignore[arg-type]  # as they came


def _sample(seq: int, *, redelivery: bool = False) -> bytes:
    message = {"data_type": "time_series", "stream": "s", "seq": seq, "t_ns": seq, "payload": {"id": seq}}
    return _ENCODER.encode(message | {"redelivery": redelivery})


async def _send_on(ws: websockets.ClientConnection) -> None:
    for seq in range(1, 100):
        await ws.send(_sample(seq))
        await asyncio.sleep(0.1)


async def _next(ws: websockets.ClientConnection) -> dict[str, Any]:
    return dict(msgspec.msgpack.decode(await asyncio.wait_for(ws.recv(), 10)))  # type: ignore[arg-type]  # it is bytes
