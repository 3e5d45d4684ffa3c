"""Kills the processes of a running `datamanager up` at random moments, and times how long acks stay away."""

import asyncio
import os
import random
import re
import signal
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from support.processes import clean_environ, datamanager, wait_until
from support.senders import BodySender, PlainSender, SdkSender
from support.verdict import check_sent, check_tiers, check_unnumbered

__all__ = ["VICTIMS", "Kills", "Up", "run_under_hangs", "run_under_kills", "running_up"]

Hangs = Sequence[tuple[Sequence[str], float]]
VICTIMS = ("serve", "worker", "mongod", "weed", "redis-server")
_ROLES = re.compile(r"^\S*?(mongod|weed|redis-server) |(?<![\w-])(serve|worker)(?![\w-])")


@dataclass(frozen=True, slots=True)
class Up:
    """A running `datamanager up`."""

    process: psutil.Process
    url: str

    def pids(self, role: str) -> list[int]:
        """The processes that go by a name."""
        found = []
        for child in self.process.children(recursive=True):
            try:
                match = _ROLES.search(" ".join(child.cmdline()) + " ")
            except psutil.NoSuchProcess:  # it ends while we look
                continue
            if match and (match[1] or match[2]) == role and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        return found


@contextmanager
def running_up(folder: Path, **more: str) -> Iterator[Up]:
    """Runs `datamanager up` with its data in `folder`."""
    log = folder / "log"
    arguments = ("up", "--port", "0", "--data-dir", str(folder / "data"))
    with datamanager(*arguments, log=log, env=clean_environ(**more)) as process:
        wait_until(lambda: "\nready after" in log.read_text(), timeout_s=60, process=process, log=log)
        url = re.search(r"(http://\S+)/ready", log.read_text())
        assert url is not None
        yield Up(psutil.Process(process.pid), url[1])


@dataclass(slots=True)
class Kills:
    """What was killed, and how it went on."""

    by_victim: Counter[str] = field(default_factory=Counter)
    recovery_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The account, for people."""
        lines = [f"{'killed':<28} {'times':>5} {'acks away: median':>18} {'most':>8}"]
        for victim, times in sorted(self.recovery_s.items()):
            lines.append(f"{victim:<28} {len(times):>5} {statistics.median(times):>16.2f} s {max(times):>6.2f} s")
        return "\n".join([*lines, f"{sum(self.by_victim.values())} processes killed", *self.notes])


async def _kill(up: Up, victims: list[str], rng: random.Random) -> None:
    """Kills one process of each name, as soon as there is one."""
    for victim in victims:
        give_up_s = time.monotonic() + 60
        while not (pids := up.pids(victim)):
            assert time.monotonic() < give_up_s, f"no {victim} runs, 60 s after it should"
            await asyncio.sleep(0.02)
        os.kill(rng.choice(pids), signal.SIGKILL)


async def _acked_again(plain: PlainSender) -> float:
    """Seconds until something that was not even sent yet is acked."""
    began_s, goal = time.monotonic(), plain.next.get("plain/single", 0)
    while plain.acked.get("plain/single", -1) < goal:
        assert time.monotonic() - began_s < 60, "nothing was acked for 60 s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s


async def _kill_on(up: Up, plain: PlainSender, senders: list[asyncio.Task[None]], count: int, seed: int) -> Kills:
    rng, kills = random.Random(seed), Kills()  # noqa: S311  # the same kills for the same seed
    order = [rng.choice(VICTIMS) for _ in range(count)]
    order[: len(VICTIMS)] = rng.sample(VICTIMS, min(count, len(VICTIMS)))  # each at least once
    while order:
        victims = [order.pop() for _ in range(min(len(order), rng.choice((1, 1, 1, 2))))]
        for sender in senders:
            assert not sender.done(), sender.exception()
        await _kill(up, victims, rng)
        kills.by_victim.update(victims)
        if rng.random() < 0.7:  # else the next kill comes in the midst of the recovery
            kills.recovery_s[" + ".join(sorted(victims))].append(await _acked_again(plain))
        await asyncio.sleep(rng.uniform(0, 1.5))
    return kills


async def _hang_on(up: Up, plain: PlainSender, senders: list[asyncio.Task[None]], hangs: Hangs) -> Kills:
    kills = Kills()
    for victims, hung_s in hangs:
        pids = [pid for victim in victims for pid in up.pids(victim)]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(hung_s)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        kills.recovery_s[f"{' + '.join(victims)} ({hung_s:g} s)"].append(await _acked_again(plain))
        for sender in senders:
            assert not sender.done(), sender.exception()
    return kills


async def run_under_kills(up: Up, count: int, seed: int) -> Kills:
    """Three robots send while `count` processes are killed; then everything that was acked is there, once."""
    return await _run_under(up, lambda plain, senders: _kill_on(up, plain, senders, count, seed))


async def run_under_hangs(up: Up, hangs: Hangs) -> Kills:
    """As `run_under_kills`, but processes stand still for so many seconds, and go on with what they were asked before."""
    return await _run_under(up, lambda plain, senders: _hang_on(up, plain, senders, hangs))


async def _run_under(
    up: Up, ordeal: Callable[[PlainSender, list[asyncio.Task[None]]], Coroutine[Any, Any, Kills]]
) -> Kills:
    sdk, plain, bodies = SdkSender(up.url, "sdk"), PlainSender([up.url], "plain"), BodySender([up.url], "bodies")
    senders = [asyncio.create_task(s.run()) for s in (sdk, plain, bodies)]
    try:
        await asyncio.sleep(1)
        kills = await ordeal(plain, senders)
        await _acked_again(plain)
        for sender in (sdk, plain, bodies):
            sender.stop()
        await asyncio.wait_for(asyncio.gather(*senders), 120)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    assert (plain.breaches, plain.rejects) == ([], [])
    for sent in (sdk.sent, plain.sent, bodies.sent):
        await check_sent(up.url, sent)
    await check_unnumbered(up.url, bodies)
    await check_tiers(up.url, plain.sent)
    kills.notes += _account([sdk, plain, bodies])
    return kills


def _account(senders: list[Any]) -> list[str]:
    sent = [s.sent for s in senders]
    samples = sum(len(ids) for s in sent for ids in s.samples.values())
    frames, logs = (sum(len(x) for s in sent for x in getattr(s, name).values()) for name in ("frames", "logs"))
    bodies = senders[-1]
    return [
        f"{samples} samples, {frames} frames, {logs} log messages; {bodies.bodies} numbered bodies, {bodies.repeated} sent again",
        "lost 0, doubled 0, acks that went back 0",
    ]
