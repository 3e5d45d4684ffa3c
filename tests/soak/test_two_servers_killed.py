"""Two servers over the same databases, a robot that moves between them, and everything killed: nothing lost or doubled."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from support.killing import VICTIMS, Up, running_up
from support.restartable import Restartable
from support.senders import BodySender, PlainSender
from support.verdict import check_sent, check_unnumbered

from datamanager.config import load_config
from datamanager.local.ports import HeldPorts
from datamanager.local.state import LocalState, read_state

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
KILLS = 30


async def _kill_on(up: Up, second: Restartable) -> None:
    rng = random.Random(5)  # noqa: S311  # the same kills each time
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.2, 3))
        victim = rng.choice((*VICTIMS, "second", "second"))
        if victim == "second":
            second.kill()
            second.spawn()
        for pid in up.pids(victim):
            os.kill(pid, signal.SIGKILL)


async def test_a_robot_that_moves_between_two_servers_that_are_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with running_up(tmp_path) as up, HeldPorts() as held:
        state = read_state(tmp_path / "data")
        assert isinstance(state, LocalState)
        second = Restartable(load_config(state.environ()), held.choose(), tmp_path / "second.log")
        second.start()
        try:
            urls = [up.url, second.url]
            mover, bodies = PlainSender(urls, "moved", stay_s=1), BodySender(urls, "bodies")
            senders = [asyncio.create_task(s.run()) for s in (mover, bodies)]
            await _kill_on(up, second)
            await asyncio.sleep(3)
            mover.stop()
            bodies.stop()
            await asyncio.wait_for(asyncio.gather(*senders), 120)
            assert (mover.breaches, mover.rejects) == ([], [])
            for sent in (mover.sent, bodies.sent):
                await check_sent(up.url, sent)
            await check_unnumbered(up.url, bodies)
            samples = sum(len(ids) for sent in (mover.sent, bodies.sent) for ids in sent.samples.values())
            sys.__stderr__.write(f"\n{KILLS} kills, {mover.moves} moves, {samples} samples: lost 0, doubled 0\n")
        finally:
            second.kill()
